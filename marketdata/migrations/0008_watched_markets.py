"""Have feeds follow markets that no account trades on."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("marketdata", "0007_schedule_sources")]

    operations = [
        migrations.AddField(
            model_name="market",
            name="is_watched",
            field=models.BooleanField(default=False, help_text="A feed follows it though no account trades there"),
        ),
    ]
