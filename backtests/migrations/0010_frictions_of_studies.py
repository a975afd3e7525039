"""Let sweeps and comparisons of plans know frictions."""

from decimal import Decimal

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("backtests", "0009_stop_of_an_entry")]

    operations = [
        migrations.AddField(
            model_name="plancomparison",
            name="participation",
            field=models.DecimalField(decimal_places=18, default=Decimal("0.1"), max_digits=38),
        ),
        migrations.AddField(
            model_name="plancomparison",
            name="frictions",
            field=models.JSONField(blank=True, default=dict, help_text="Slippage models, fee tiers, latency; empty for none"),
        ),
        migrations.AddField(
            model_name="sweep",
            name="participation",
            field=models.DecimalField(decimal_places=18, default=Decimal("0.1"), max_digits=38),
        ),
        migrations.AddField(
            model_name="sweep",
            name="frictions",
            field=models.JSONField(blank=True, default=dict, help_text="Slippage models, fee tiers, latency; empty for none"),
        ),
    ]
