"""The models of what was imported come from training: the state changes, the tables stay as they are.

Their content types are moved along, so that permissions and the admin's log keep pointing at them.
"""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

IMPORTED = (
    "importedprediction",
    "importediteration",
    "importedimage",
    "importedtag",
    "importedproject",
    "serviceaccess",
)


def relabel(old, new):
    """Return a step that moves the content types from one app to the other, unless they are there already."""

    def step(apps, schema_editor):
        types = apps.get_model("contenttypes", "ContentType").objects.using(
            schema_editor.connection.alias
        )
        there = types.filter(app_label=new, model__in=IMPORTED).values_list("model", flat=True)
        types.filter(app_label=old, model__in=IMPORTED).exclude(model__in=list(there)).update(
            app_label=new
        )

    return step


class Migration(migrations.Migration):
    dependencies = [
        ("common", "0001_first"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("customvision", "0002_exports"),
        ("predictions", "0006_multilabel"),
        ("review", "0002_further_category"),
        ("training", "0007_imports_to_customvision"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="ImportedProject",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True,
                                primary_key=True,
                                serialize=False,
                                verbose_name="ID",
                            ),
                        ),
                        ("remote_id", models.UUIDField(unique=True)),
                        ("endpoint", models.CharField(max_length=300)),
                        ("name", models.CharField(max_length=200)),
                        ("classification_type", models.CharField(blank=True, max_length=20)),
                        (
                            "report",
                            models.JSONField(
                                default=dict,
                                help_text="What was there and what is here, after the last import.",
                            ),
                        ),
                        (
                            "created_at",
                            models.DateTimeField(default=django.utils.timezone.now, editable=False),
                        ),
                        ("finished_at", models.DateTimeField(null=True)),
                        (
                            "job",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="common.job",
                            ),
                        ),
                        (
                            "project",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="imported_from",
                                to="predictions.project",
                            ),
                        ),
                        (
                            "requested_by",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                    ],
                    options={
                        "db_table": "training_importedproject",
                        "ordering": ["-pk"],
                    },
                ),
                migrations.CreateModel(
                    name="ImportedIteration",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True,
                                primary_key=True,
                                serialize=False,
                                verbose_name="ID",
                            ),
                        ),
                        ("remote_id", models.UUIDField()),
                        ("name", models.CharField(max_length=200)),
                        ("status", models.CharField(max_length=30)),
                        ("published_as", models.CharField(blank=True, max_length=200)),
                        ("trained_at", models.DateTimeField(null=True)),
                        (
                            "performance",
                            models.JSONField(
                                default=dict,
                                help_text="Threshold, precision, recall and average precision, overall and per tag id.",
                            ),
                        ),
                        (
                            "imported",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="iterations",
                                to="customvision.importedproject",
                            ),
                        ),
                    ],
                    options={
                        "db_table": "training_importediteration",
                        "ordering": ["-trained_at", "-pk"],
                    },
                ),
                migrations.CreateModel(
                    name="ImportedImage",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True,
                                primary_key=True,
                                serialize=False,
                                verbose_name="ID",
                            ),
                        ),
                        ("remote_id", models.UUIDField()),
                        ("sha256", models.CharField(blank=True, max_length=64)),
                        (
                            "tag_ids",
                            models.JSONField(
                                default=list,
                                help_text="The tags it had when they were taken up last.",
                            ),
                        ),
                        (
                            "problem",
                            models.CharField(
                                blank=True, help_text="Why its picture is not here.", max_length=300
                            ),
                        ),
                        (
                            "seen_at",
                            models.DateTimeField(
                                default=django.utils.timezone.now,
                                help_text="When the service listed it last.",
                            ),
                        ),
                        (
                            "decision",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="review.decision",
                            ),
                        ),
                        (
                            "sample",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="imported_images",
                                to="predictions.sample",
                            ),
                        ),
                        (
                            "imported",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="images",
                                to="customvision.importedproject",
                            ),
                        ),
                    ],
                    options={
                        "db_table": "training_importedimage",
                    },
                ),
                migrations.CreateModel(
                    name="ImportedTag",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True,
                                primary_key=True,
                                serialize=False,
                                verbose_name="ID",
                            ),
                        ),
                        ("remote_id", models.UUIDField()),
                        ("name", models.CharField(max_length=200)),
                        (
                            "type",
                            models.CharField(
                                help_text="Regular, Negative or GeneralProduct.", max_length=20
                            ),
                        ),
                        (
                            "category",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="imported_tags",
                                to="predictions.category",
                            ),
                        ),
                        (
                            "imported",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="tags",
                                to="customvision.importedproject",
                            ),
                        ),
                    ],
                    options={
                        "db_table": "training_importedtag",
                    },
                ),
                migrations.CreateModel(
                    name="ServiceAccess",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True,
                                primary_key=True,
                                serialize=False,
                                verbose_name="ID",
                            ),
                        ),
                        ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        ("endpoint", models.CharField(max_length=300)),
                        ("sealed_key", models.TextField(editable=False)),
                        (
                            "created_at",
                            models.DateTimeField(default=django.utils.timezone.now, editable=False),
                        ),
                        (
                            "given_by",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                    ],
                    options={
                        "db_table": "training_serviceaccess",
                    },
                ),
                migrations.AddField(
                    model_name="importedproject",
                    name="access",
                    field=models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="imports",
                        to="customvision.serviceaccess",
                    ),
                ),
                migrations.CreateModel(
                    name="ImportedPrediction",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True,
                                primary_key=True,
                                serialize=False,
                                verbose_name="ID",
                            ),
                        ),
                        ("remote_id", models.UUIDField()),
                        ("sha256", models.CharField(blank=True, max_length=64)),
                        (
                            "scores",
                            models.JSONField(
                                help_text="Tag name to probability, in falling order."
                            ),
                        ),
                        ("predicted_at", models.DateTimeField(null=True)),
                        (
                            "problem",
                            models.CharField(
                                blank=True, help_text="Why its picture is not here.", max_length=300
                            ),
                        ),
                        (
                            "iteration",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="predictions",
                                to="customvision.importediteration",
                            ),
                        ),
                        (
                            "sample",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="imported_predictions",
                                to="predictions.sample",
                            ),
                        ),
                        (
                            "imported",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="predictions",
                                to="customvision.importedproject",
                            ),
                        ),
                    ],
                    options={
                        "db_table": "training_importedprediction",
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("imported", "remote_id"), name="prediction_is_imported_once"
                            )
                        ],
                    },
                ),
                migrations.AddConstraint(
                    model_name="importediteration",
                    constraint=models.UniqueConstraint(
                        fields=("imported", "remote_id"), name="iteration_is_imported_once"
                    ),
                ),
                migrations.AddConstraint(
                    model_name="importedimage",
                    constraint=models.UniqueConstraint(
                        fields=("imported", "remote_id"), name="image_is_imported_once"
                    ),
                ),
                migrations.AddConstraint(
                    model_name="importedtag",
                    constraint=models.UniqueConstraint(
                        fields=("imported", "remote_id"), name="tag_is_imported_once"
                    ),
                ),
            ],
        ),
        migrations.RunPython(
            relabel("training", "customvision"), relabel("customvision", "training")
        ),
    ]
