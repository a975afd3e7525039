"""Let a backtest trade several markets."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("backtests", "0003_find_waiting")]

    operations = [
        migrations.AddField(
            model_name="backtestrun",
            name="others",
            field=models.JSONField(default=list, help_text="Further markets, in the order of the strategy's panel"),
        ),
        migrations.AddField(
            model_name="backtestfill",
            name="symbol",
            field=models.CharField(blank=True, default="", max_length=32, help_text="The fill's market, where there are several"),
            preserve_default=False,
        ),
    ]
