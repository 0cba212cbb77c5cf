from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0020_runs_counted_per_project")]

    operations = [
        migrations.AddConstraint(
            model_name="trainingrun",
            constraint=models.UniqueConstraint(
                fields=("project", "number"), name="run_number_is_unique_in_its_project"
            ),
        ),
    ]
