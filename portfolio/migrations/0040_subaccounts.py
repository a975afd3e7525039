"""Give accounts masters and sub-accounts, and write transfers between them down."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from portfolio.models.money import MoneyField


class Migration(migrations.Migration):
    """Add sub-accounts."""

    dependencies: ClassVar = [
        ("marketdata", "0007_schedule_sources"),
        ("portfolio", "0035_allocation_versions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name="AccountTransfer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("client_id", models.CharField(help_text="Our name for it at the exchange", max_length=32, unique=True)),
                ("asset", models.CharField(max_length=16)),
                ("amount", MoneyField()),
                (
                    "value",
                    MoneyField(
                        help_text="In quote at the mark when it was asked for: what limits count, and what both sides book"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("recorded", "Written down, not sent"),
                            ("sending", "Sending"),
                            ("unknown", "Sent, and nobody has answered for it"),
                            ("done", "Done"),
                            ("refused", "The exchange has proven that it did not happen"),
                            ("absent", "Sent, and never seen by the exchange"),
                        ],
                        default="recorded",
                        max_length=8,
                    ),
                ),
                ("outcome", models.CharField(blank=True, help_text="Why it did not happen", max_length=200)),
                ("exchange_id", models.CharField(blank=True, max_length=64)),
                (
                    "sender_echo",
                    models.CharField(blank=True, help_text="The sender's stream told of it under this reference", max_length=96),
                ),
                ("receiver_echo", models.CharField(blank=True, help_text="And the receiver's under this one", max_length=96)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("recorded_at", models.DateTimeField(help_text="Wall time")),
                ("sent_at", models.DateTimeField(help_text="Wall time", null=True)),
                ("ended_at", models.DateTimeField(help_text="Wall time", null=True)),
            ],
        ),
        migrations.AddField(
            model_name="account",
            name="master",
            field=models.ForeignKey(
                blank=True,
                help_text="Empty for a master",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="sub_accounts",
                to="portfolio.account",
            ),
        ),
        migrations.AddField(
            model_name="account",
            name="transfer_max",
            field=MoneyField(blank=True, help_text="Largest transfer in quote; empty: none is made", null=True),
        ),
        migrations.AddField(
            model_name="account",
            name="transfer_max_day",
            field=MoneyField(blank=True, help_text="Most in quote moved in 24 hours; empty: nothing is", null=True),
        ),
        migrations.AddField(
            model_name="account",
            name="venue_name",
            field=models.CharField(
                blank=True, help_text="The exchange's own name of a sub-account, which transfers are addressed to", max_length=128
            ),
        ),
        migrations.AlterField(
            model_name="ledgeraccount",
            name="kind",
            field=models.CharField(
                choices=[
                    ("available", "Available"),
                    ("reserved", "Reserved"),
                    ("unallocated", "Unallocated"),
                    ("fee_pool", "Fee Pool"),
                    ("dust", "Dust"),
                    ("in_transit", "On its way to another account of ours"),
                    ("suspense", "Suspense"),
                    ("deficit", "Deficit"),
                    ("external_flow", "Deposits and withdrawals"),
                    ("external_trade", "The market's side of trades"),
                    ("external_fee", "Fees paid to the exchange"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("master__isnull", True),
                    models.Q(models.Q(("venue_name", ""), _negated=True), models.Q(("master", models.F("id")), _negated=True)),
                    _connector="OR",
                ),
                name="account_sub_is_named",
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.UniqueConstraint(
                condition=models.Q(("master__isnull", False)), fields=("master", "venue_uid"), name="account_sub_uid_unique"
            ),
        ),
        migrations.AddField(
            model_name="accounttransfer",
            name="master",
            field=models.ForeignKey(
                help_text="Whose key moves it",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="transfers_carried",
                to="portfolio.account",
            ),
        ),
        migrations.AddField(
            model_name="accounttransfer",
            name="receiver",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="transfers_received", to="portfolio.account"
            ),
        ),
        migrations.AddField(
            model_name="accounttransfer",
            name="requested_by",
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name="accounttransfer",
            name="sender",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="transfers_sent", to="portfolio.account"
            ),
        ),
        migrations.AddIndex(
            model_name="accounttransfer",
            index=models.Index(fields=["master", "-recorded_at"], name="portfolio_a_master__80b673_idx"),
        ),
        migrations.AddConstraint(
            model_name="accounttransfer",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="account_transfer_moves_something"),
        ),
        migrations.AddConstraint(
            model_name="accounttransfer",
            constraint=models.CheckConstraint(
                condition=models.Q(("sender", models.F("receiver")), _negated=True), name="account_transfer_leaves_the_account"
            ),
        ),
        migrations.AddConstraint(
            model_name="accounttransfer",
            constraint=models.CheckConstraint(condition=models.Q(("attempts__lte", 1)), name="account_transfer_sent_once"),
        ),
        migrations.AddConstraint(
            model_name="accounttransfer",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["sending", "unknown"])),
                fields=("master",),
                name="account_transfer_one_in_flight",
            ),
        ),
    ]
