"""Keep limits in versions, what each day began with, and latches; existing accounts get the limits of a new one."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import portfolio.models.money

# A quarter of what was put in, as at the opening of a new account.
LIMITS_OF_EXISTING_ACCOUNTS = """
INSERT INTO portfolio_risklimits (
    account_id, version, soft_loss_percent, hard_loss_percent, fall_percent, collar_percent, order_value_max,
    orders_per_minute, repeats_max, opposite_positions, set_at, reason
)
SELECT id, 1, 5, 7, 10, 5, greatest(trunc(net_flows * 0.25, 2), 10), 600, 10, 'allow', created_at, 'opening'
  FROM portfolio_account
"""


class Migration(migrations.Migration):
    """Three tables."""

    dependencies = [
        ("portfolio", "0020_daily_look"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="RiskDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("market_date", models.DateField(help_text="Day of market time, UTC")),
                ("equity", portfolio.models.money.MoneyField(decimal_places=18, max_digits=38)),
                (
                    "net_flows",
                    portfolio.models.money.MoneyField(
                        decimal_places=18, help_text="Capital put in minus taken out when the equity was taken", max_digits=38
                    ),
                ),
                ("market_at", models.DateTimeField(help_text="Market time of the equity")),
                ("recorded_at", models.DateTimeField(help_text="Wall time")),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="risk_days", to="portfolio.account"
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.CASCADE, related_name="risk_days", to="portfolio.book"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account", "book", "market_date"), name="risk_day_unique", nulls_distinct=False
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RiskLatch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(help_text="Reason code", max_length=48)),
                ("facts", models.JSONField(default=dict)),
                ("market_at", models.DateTimeField(help_text="Market time")),
                ("latched_at", models.DateTimeField(help_text="Wall time")),
                ("released_at", models.DateTimeField(help_text="Wall time", null=True)),
                ("release_reason", models.CharField(blank=True, max_length=200)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="risk_latches", to="portfolio.account"
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.CASCADE, related_name="risk_latches", to="portfolio.book"
                    ),
                ),
                (
                    "released_by",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL),
                ),
            ],
            options={
                "verbose_name_plural": "risk latches",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("released_at__isnull", True)),
                        fields=("account", "book", "code"),
                        name="risk_latch_open_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RiskLimits",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.PositiveIntegerField()),
                (
                    "soft_loss_percent",
                    models.DecimalField(
                        decimal_places=4,
                        help_text="Of the day's start: no entry may bring the worst case beyond it",
                        max_digits=7,
                        null=True,
                    ),
                ),
                (
                    "hard_loss_percent",
                    models.DecimalField(
                        decimal_places=4,
                        help_text="Of the day's start: beyond it everything is sold and entries stay shut",
                        max_digits=7,
                        null=True,
                    ),
                ),
                (
                    "fall_percent",
                    models.DecimalField(
                        decimal_places=4,
                        help_text="How far a holding without a stop is assumed to fall before it is sold",
                        max_digits=7,
                        null=True,
                    ),
                ),
                (
                    "collar_percent",
                    models.DecimalField(
                        decimal_places=4,
                        help_text="How far a buy may pay above mark and last close, and these may differ",
                        max_digits=7,
                        null=True,
                    ),
                ),
                (
                    "order_value_max",
                    portfolio.models.money.MoneyField(
                        decimal_places=18, help_text="Largest entry in quote", max_digits=38, null=True
                    ),
                ),
                (
                    "orders_per_minute",
                    models.PositiveIntegerField(help_text="Entries accepted per minute of market time", null=True),
                ),
                ("repeats_max", models.PositiveSmallIntegerField(help_text="Entries in a row that may bring nothing", null=True)),
                (
                    "opposite_positions",
                    models.CharField(
                        blank=True,
                        choices=[("allow", "Each from its own book"), ("refuse", "No entry against another bot's sale")],
                        max_length=8,
                    ),
                ),
                ("set_at", models.DateTimeField(help_text="Wall time")),
                ("reason", models.CharField(blank=True, max_length=200)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="risk_limits", to="portfolio.account"
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.CASCADE, related_name="risk_limits", to="portfolio.book"
                    ),
                ),
                (
                    "set_by",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL),
                ),
            ],
            options={
                "verbose_name_plural": "risk limits",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account", "book", "version"), name="risk_limits_unique", nulls_distinct=False
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("hard_loss_percent__lt", 10),
                                ("soft_loss_percent__gt", 0),
                                ("soft_loss_percent__lte", models.F("hard_loss_percent")),
                            ),
                            ("book__isnull", False),
                            _connector="OR",
                        ),
                        name="risk_caps_in_order",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("collar_percent__gt", 0),
                                ("collar_percent__isnull", False),
                                ("fall_percent__gt", 0),
                                ("fall_percent__isnull", False),
                                ("fall_percent__lte", 100),
                                ("hard_loss_percent__isnull", False),
                                ("order_value_max__gt", 0),
                                ("order_value_max__isnull", False),
                                ("orders_per_minute__isnull", False),
                                ("repeats_max__gt", 0),
                                ("repeats_max__isnull", False),
                                ("soft_loss_percent__isnull", False),
                            ),
                            ("book__isnull", False),
                            _connector="OR",
                        ),
                        name="risk_account_limits_complete",
                    ),
                ],
            },
        ),
        migrations.RunSQL(LIMITS_OF_EXISTING_ACCOUNTS, migrations.RunSQL.noop),
    ]
