"""Give sub-accounts shares of their family, and note what a transfer took from a bot."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F, Q

from portfolio.models.money import MoneyField

PERCENT = {"decimal_places": 4, "max_digits": 7}


class Migration(migrations.Migration):
    """Add shares of a family and what was recalled."""

    dependencies: ClassVar = [("portfolio", "0045_alarms")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="account",
            name="target_percent",
            field=models.DecimalField(
                blank=True, help_text="Share of what its family is worth; empty: none", null=True, **PERCENT
            ),
        ),
        migrations.AddField(
            model_name="account",
            name="target_band_percent",
            field=models.DecimalField(default=1, help_text="Of a master: smaller differences are left alone", **PERCENT),
        ),
        migrations.AddField(
            model_name="accounttransfer",
            name="recalled",
            field=MoneyField(default=0, help_text="As much of it was taken from the free cash of the sender's bot"),
        ),
        migrations.AddField(
            model_name="accounttransfer",
            name="recalled_from",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portfolio.book"
            ),
        ),
        migrations.AddConstraint(
            model_name="accounttransfer",
            constraint=models.CheckConstraint(
                condition=Q(recalled=0) | Q(recalled__gt=0, recalled__lte=F("amount"), recalled_from__isnull=False),
                name="account_transfer_recalls_from_a_book",
            ),
        ),
    ]
