"""Coins that paid what a book owed."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

from portfolio.models.money import MoneyField


class Migration(migrations.Migration):
    """Remember each cover: positions are folded from it, as from trades."""

    dependencies: ClassVar = [("marketdata", "0008_watched_markets"), ("portfolio", "0047_fee_in_quote")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="DeficitCover",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("quantity", MoneyField()),
                ("mark", MoneyField()),
                ("value", MoneyField(help_text="What the book paid for it")),
                ("realised", MoneyField(help_text="What the book gained by it")),
                ("realised_source", MoneyField(help_text="What the source gained by it")),
                ("ledger_seq", models.PositiveBigIntegerField()),
                ("market_at", models.DateTimeField(help_text="Market time")),
                (
                    "book",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="covers", to="portfolio.book"),
                ),
                (
                    "instrument",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="marketdata.instrument"),
                ),
                (
                    "source",
                    models.ForeignKey(
                        help_text="Empty: the operator's pool",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="covers_given",
                        to="portfolio.book",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=Q(quantity__gt=0, mark__gt=0), name="deficit_cover_moves_something")
                ],
            },
        ),
    ]
