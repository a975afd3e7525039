"""What a person must have seen: it stays until somebody says so, also when its cause is gone (O13)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from portfolio.models.accounts import Account
from portfolio.models.books import Book


class Alarm(models.Model):
    """A halt, a difference, a latch or a doubt: raised by the machine, acknowledged by a person with a reason."""

    class Source(models.TextChoices):
        STATE = "state", "The account's state"
        BOOK = "book", "A book's halt"
        LATCH = "latch", "A latch of the risk limits"
        RESIDUAL = "residual", "Ledger and exchange differ"
        WATCH = "watch", "Seen while watching"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="alarms")
    book = models.ForeignKey(Book, null=True, on_delete=models.PROTECT, related_name="alarms")
    source = models.CharField(max_length=8, choices=Source.choices)
    code = models.CharField(max_length=48, help_text="Reason code")
    subject = models.CharField(max_length=64, blank=True, help_text="Asset, symbol or order it is about")
    is_critical = models.BooleanField(help_text="Unacknowledged for a quarter of an hour it stops entries")
    facts = models.JSONField(default=dict)
    count = models.PositiveIntegerField(default=1, help_text="How often it came before somebody looked")
    raised_at = models.DateTimeField(help_text="Wall time of the first")
    last_at = models.DateTimeField(help_text="Wall time of the newest")
    cleared_at = models.DateTimeField(
        null=True, help_text="Wall time when its cause was gone; it stays listed until acknowledged"
    )
    acknowledged_at = models.DateTimeField(null=True, help_text="Wall time")
    acknowledged_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    acknowledgement = models.CharField(max_length=200, blank=True, help_text="What the person found")

    class Meta:
        constraints = [
            # One row for one thing, as long as it lasts or nobody has looked.
            models.UniqueConstraint(
                fields=["account", "book", "source", "code", "subject"],
                condition=Q(cleared_at__isnull=True) | Q(acknowledged_at__isnull=True),
                name="alarm_open_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(acknowledged_at__isnull=True) | ~Q(acknowledgement=""), name="alarm_acknowledged_with_reason"
            ),
            models.CheckConstraint(condition=Q(count__gt=0, last_at__gte=F("raised_at")), name="alarm_counts"),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="alarm_newest"),
            models.Index(fields=["account"], condition=Q(acknowledged_at__isnull=True), name="alarm_unacknowledged"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.subject}".strip()
