"""Keep every version of the shares with its policy, and what a plan still has to move."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from portfolio.models.money import MoneyField

# Plans that were made before versions were written down.
DO = """
INSERT INTO portfolio_allocationversion
    (account_id, number, cause, note, reserve_percent, band_percent, rebase_hours, rebases_after_flows, set_at, set_by_id)
SELECT book.account_id, share.plan, 'set', '', 0, 0, 0, FALSE, min(share.effective_at), max(share.set_by_id)
FROM portfolio_allocation AS share JOIN portfolio_book AS book ON book.id = share.book_id
GROUP BY book.account_id, share.plan ORDER BY book.account_id, share.plan;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON portfolio_allocationversion
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""
UNDO = "DROP TRIGGER append_only ON portfolio_allocationversion;"
PERCENT = {"decimal_places": 4, "max_digits": 7}


class Migration(migrations.Migration):
    """Add versions and what is pending."""

    dependencies: ClassVar = [
        ("portfolio", "0030_modes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.AddField(
            model_name="allocation",
            name="is_locked",
            field=models.BooleanField(default=False, help_text="Neither a re-base nor evening out touches it"),
        ),
        migrations.AddField(
            model_name="allocation",
            name="moved",
            field=MoneyField(null=True, help_text="What the plan moved at once; null where nobody wrote it down"),
        ),
        migrations.AddField(
            model_name="book",
            name="pending",
            field=MoneyField(
                default=0,
                help_text="What the newest plan still moves: in once there is cash, or (below zero) out once it is free",
            ),
        ),
        migrations.AddField(
            model_name="book",
            name="pending_since_at",
            field=models.DateTimeField(blank=True, help_text="Wall time", null=True),
        ),
        migrations.CreateModel(
            name="RebaseClock",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "slot_at",
                    models.DateTimeField(help_text="Market time: begin of the newest slot of the schedule that was served"),
                ),
                ("net_flows", MoneyField(help_text="The account's flows that the shares account for")),
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="rebase_clock", to="portfolio.account"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="AllocationVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveBigIntegerField(help_text="The plan's number; it grows by one")),
                (
                    "cause",
                    models.CharField(
                        choices=[
                            ("set", "Set by a person"),
                            ("rebase", "Re-based by a person"),
                            ("schedule", "Re-based on schedule"),
                            ("flow", "Re-based after a deposit or withdrawal"),
                            ("rollback", "Rolled back"),
                            ("lineup", "Line-up applied"),
                        ],
                        max_length=12,
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=200)),
                ("restored", models.PositiveBigIntegerField(help_text="The version that a rollback went back to", null=True)),
                ("total", MoneyField(help_text="What the account was worth; null where nobody wrote it down", null=True)),
                ("reserve_percent", models.DecimalField(default=0, help_text="Never dealt out", **PERCENT)),
                (
                    "band_percent",
                    models.DecimalField(
                        default=0, help_text="Of the account: a re-base leaves smaller differences alone", **PERCENT
                    ),
                ),
                (
                    "rebase_hours",
                    models.PositiveIntegerField(default=0, help_text="Hours of market time between re-bases; 0 for never"),
                ),
                ("rebases_after_flows", models.BooleanField(default=False)),
                ("market_at", models.DateTimeField(help_text="Market time", null=True)),
                ("set_at", models.DateTimeField(help_text="Wall time")),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="allocation_versions", to="portfolio.account"
                    ),
                ),
                (
                    "set_by",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL),
                ),
            ],
            options={
                "ordering": ["-number"],
                "constraints": [
                    models.UniqueConstraint(fields=("account", "number"), name="allocation_version_unique"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("band_percent__gte", 0),
                            ("band_percent__lte", 100),
                            ("reserve_percent__gte", 0),
                            ("reserve_percent__lte", 100),
                        ),
                        name="allocation_policy_in_range",
                    ),
                ],
            },
        ),
        migrations.RunSQL(sql=DO, reverse_sql=UNDO),
    ]
