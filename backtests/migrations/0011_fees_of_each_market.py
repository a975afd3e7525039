"""Let a backtest know what a taker pays in each of its markets."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("backtests", "0010_frictions_of_studies")]

    operations = [
        migrations.AddField(
            model_name="backtestrun",
            name="taker_fees",
            field=models.JSONField(blank=True, default=list, help_text="A taker's fee in each market, where they differ"),
        ),
    ]
