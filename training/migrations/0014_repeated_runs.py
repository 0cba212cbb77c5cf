import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("training", "0013_neighbour_search"),
    ]

    operations = [
        migrations.AddField(
            model_name="trainingrun",
            name="code",
            field=models.JSONField(
                default=dict,
                help_text="Release, digest of the sources and commit, see `code_version`.",
            ),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="repeats",
            field=models.ForeignKey(
                help_text="The run whose data set, parameters and seed it takes, to see whether its model comes out again.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="repetitions",
                to="training.trainingrun",
            ),
        ),
    ]
