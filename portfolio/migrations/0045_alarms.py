"""Alarms that stay until a person has acknowledged them."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# O13: nothing vanishes that nobody has seen, and what somebody has seen stays seen.
KEEP = """
CREATE TRIGGER alarm_stays BEFORE DELETE ON portfolio_alarm
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER alarm_stays_acknowledged BEFORE UPDATE ON portfolio_alarm
    FOR EACH ROW
    WHEN (OLD.acknowledged_at IS NOT NULL AND NEW.acknowledged_at IS DISTINCT FROM OLD.acknowledged_at)
    EXECUTE FUNCTION refuse_change();
"""
UNDO = """
DROP TRIGGER alarm_stays_acknowledged ON portfolio_alarm;
DROP TRIGGER alarm_stays ON portfolio_alarm;
"""


class Migration(migrations.Migration):
    """Add the table and its triggers."""

    dependencies: ClassVar = [
        ("portfolio", "0040_subaccounts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name="Alarm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("state", "The account's state"),
                            ("book", "A book's halt"),
                            ("latch", "A latch of the risk limits"),
                            ("residual", "Ledger and exchange differ"),
                            ("watch", "Seen while watching"),
                        ],
                        max_length=8,
                    ),
                ),
                ("code", models.CharField(help_text="Reason code", max_length=48)),
                ("subject", models.CharField(blank=True, help_text="Asset, symbol or order it is about", max_length=64)),
                ("is_critical", models.BooleanField(help_text="Unacknowledged for a quarter of an hour it stops entries")),
                ("facts", models.JSONField(default=dict)),
                ("count", models.PositiveIntegerField(default=1, help_text="How often it came before somebody looked")),
                ("raised_at", models.DateTimeField(help_text="Wall time of the first")),
                ("last_at", models.DateTimeField(help_text="Wall time of the newest")),
                (
                    "cleared_at",
                    models.DateTimeField(
                        help_text="Wall time when its cause was gone; it stays listed until acknowledged", null=True
                    ),
                ),
                ("acknowledged_at", models.DateTimeField(help_text="Wall time", null=True)),
                ("acknowledgement", models.CharField(blank=True, help_text="What the person found", max_length=200)),
                (
                    "account",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="alarms", to="portfolio.account"),
                ),
                (
                    "acknowledged_by",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL),
                ),
                (
                    "book",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="alarms", to="portfolio.book"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["account", "-id"], name="alarm_newest"),
                    models.Index(
                        condition=models.Q(("acknowledged_at__isnull", True)), fields=["account"], name="alarm_unacknowledged"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("cleared_at__isnull", True), ("acknowledged_at__isnull", True), _connector="OR"),
                        fields=("account", "book", "source", "code", "subject"),
                        name="alarm_open_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("acknowledged_at__isnull", True), models.Q(("acknowledgement", ""), _negated=True), _connector="OR"
                        ),
                        name="alarm_acknowledged_with_reason",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("count__gt", 0), ("last_at__gte", models.F("raised_at"))), name="alarm_counts"
                    ),
                ],
            },
        ),
        migrations.RunSQL(sql=KEEP, reverse_sql=UNDO),
    ]
