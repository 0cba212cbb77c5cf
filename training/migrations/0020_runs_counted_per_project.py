"""Number the runs of each project from 1, in the order in which they were asked for."""

from django.db import migrations, models

CHUNK = 1000


def number_runs(apps, schema_editor):
    runs = apps.get_model("training", "TrainingRun").objects
    last, numbered = {}, []
    rows = runs.order_by("pk").only("pk", "project_id").iterator(chunk_size=CHUNK)
    for run in rows:
        run.number = last[run.project_id] = last.get(run.project_id, 0) + 1
        numbered.append(run)
    for start in range(0, len(numbered), CHUNK):
        runs.bulk_update(numbered[start : start + CHUNK], ["number"], batch_size=CHUNK)


class Migration(migrations.Migration):
    dependencies = [("training", "0019_dataset_import")]

    operations = [
        migrations.AddField(
            model_name="trainingrun",
            name="number",
            field=models.PositiveIntegerField(default=0),
            preserve_default=False,
        ),
        migrations.RunPython(number_runs, migrations.RunPython.noop),
    ]
