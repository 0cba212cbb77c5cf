"""A model gets the name that the field uses: the state changes, the table stays as it is."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0007_imports_to_customvision")]

    operations = [
        # The name that the table has becomes explicit, so that renaming the model moves nothing
        migrations.AlterModelTable("furtherlabel", "training_furtherlabel"),
        migrations.RenameModel("FurtherLabel", "AdditionalLabel"),
        migrations.AlterField(
            "additionallabel",
            "item",
            models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="additional_labels",
                to="training.datasetitem",
            ),
        ),
    ]
