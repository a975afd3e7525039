"""Let a backtest know frictions."""

from decimal import Decimal

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("backtests", "0006_backtest_reports")]

    operations = [
        migrations.AddField(
            model_name="backtestrun",
            name="participation",
            field=models.DecimalField(decimal_places=18, default=Decimal("0.1"), max_digits=38),
        ),
        migrations.AddField(
            model_name="backtestrun",
            name="detail_interval",
            field=models.CharField(
                blank=True, default="", help_text="Candles that tell the order of ambiguous ones", max_length=4
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="backtestrun",
            name="frictions",
            field=models.JSONField(blank=True, default=dict, help_text="Slippage models, fee tiers, latency; empty for none"),
        ),
    ]
