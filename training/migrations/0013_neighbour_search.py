import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("predictions", "0012_texts"),
        ("training", "0012_outlook"),
    ]

    operations = [
        migrations.CreateModel(
            name="NeighbourSearch",
            fields=[
                (
                    "prediction",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="neighbour_search",
                        serialize=False,
                        to="predictions.prediction",
                    ),
                ),
                (
                    "nearest",
                    models.JSONField(
                        default=list,
                        help_text="Sample id and cosine of the feature vectors, the nearest first.",
                    ),
                ),
                (
                    "compared",
                    models.PositiveIntegerField(
                        default=0, help_text="Training samples whose vectors were compared."
                    ),
                ),
                (
                    "problem",
                    models.CharField(blank=True, help_text="Why none were found.", max_length=300),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
            ],
            options={
                "verbose_name_plural": "neighbour searches",
            },
        ),
    ]
