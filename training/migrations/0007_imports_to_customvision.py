"""The models of what was imported are customvision's from now on: the state changes, the tables stay as they are."""

from django.db import migrations

IMPORTED = (
    "ImportedPrediction",
    "ImportedIteration",
    "ImportedImage",
    "ImportedTag",
    "ImportedProject",
    "ServiceAccess",
)


class Migration(migrations.Migration):
    dependencies = [("training", "0006_further_label")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel(name) for name in IMPORTED],
        )
    ]
