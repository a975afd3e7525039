"""Orders remember which fee in quote they hold money for, and what of it is paid."""

from typing import ClassVar

from django.db import migrations, models

from portfolio.models.money import MoneyField


class Migration(migrations.Migration):
    """Add the rate of the fee and what was paid; where fees are not taken in quote both stay zero."""

    dependencies: ClassVar = [("portfolio", "0046_transfer_plans")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="order",
            name="fee_ppm",
            field=models.PositiveIntegerField(
                default=0,
                help_text="Fee in quote that the reservation allows for, in millionths; 0: the fee is not taken in quote",
            ),
        ),
        migrations.AddField(
            model_name="order",
            name="filled_fee",
            field=MoneyField(default=0, help_text="Fees in quote of posted fills, where the reservation allows for them"),
        ),
    ]
