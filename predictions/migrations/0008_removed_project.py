from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("predictions", "0007_megapixels"),
    ]

    operations = [
        migrations.AddField(
            model_name="project",
            name="removed_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
