"""Keep the stop that an entry came with: what a trade risked at first."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("backtests", "0008_backtest_progress")]

    operations = [
        migrations.AddField(
            model_name="backtestfill",
            name="stop_price",
            field=models.DecimalField(
                blank=True, decimal_places=18, help_text="The stop that an entry came with", max_digits=38, null=True
            ),
        ),
    ]
