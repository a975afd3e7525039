"""Deposits and withdrawals of the exchange's history that are in the books, and up to when it was read."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

from portfolio.models.money import MoneyField


class Migration(migrations.Migration):
    """Remember each by its number, so that none is booked twice."""

    dependencies: ClassVar = [("portfolio", "0049_volume_limit")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="FlowCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "through_at",
                    models.DateTimeField(help_text="By the exchange's history: nothing that began earlier is still on its way"),
                ),
                ("read_at", models.DateTimeField(help_text="Wall time")),
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="flow_cursor", to="portfolio.account"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="KnownFlow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="deposit or withdrawal, and the exchange's number of it", max_length=128)),
                ("asset", models.CharField(max_length=16)),
                ("amount", MoneyField(help_text="Below zero: a withdrawal with its fee")),
                ("began_at", models.DateTimeField(help_text="By the exchange's history")),
                ("cleared_at", models.DateTimeField(help_text="By the exchange's history, where it says so", null=True)),
                (
                    "is_booked",
                    models.BooleanField(
                        help_text="Posted from the history; otherwise the stream told it, or the opening balances"
                    ),
                ),
                (
                    "echo",
                    models.CharField(
                        blank=True, help_text="The stream told of it afterwards, under this reference", max_length=96
                    ),
                ),
                ("noted_at", models.DateTimeField(help_text="Wall time")),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="known_flows", to="portfolio.account"
                    ),
                ),
                (
                    "transaction",
                    models.OneToOneField(
                        help_text="Empty: it came before us",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="known_flow",
                        to="portfolio.ledgertransaction",
                    ),
                ),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("account", "name"), name="known_flow_once")]},
        ),
    ]
