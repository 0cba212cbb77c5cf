"""Two models get the names that the field uses: the state changes, the tables stay as they are."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("review", "0002_further_category")]

    operations = [
        # The name that the table has becomes explicit, so that renaming the model moves nothing
        migrations.AlterModelTable("furthercategory", "review_furthercategory"),
        migrations.RenameModel("FurtherCategory", "AdditionalCategory"),
        migrations.AlterField(
            "additionalcategory",
            "decision",
            models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="additional_categories",
                to="review.decision",
            ),
        ),
        migrations.AlterModelTable("horizon", "review_horizon"),
        migrations.RenameModel("Horizon", "LowWaterMark"),
    ]
