"""Versions of how an account is shared, and up to where its schedule was served."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from portfolio.models.accounts import Account
from portfolio.models.money import MoneyField


class AllocationVersion(models.Model):
    """One plan that was carried out; its shares are the allocations of that number. Rows are never edited."""

    class Cause(models.TextChoices):
        SET = "set", "Set by a person"
        REBASE = "rebase", "Re-based by a person"
        SCHEDULE = "schedule", "Re-based on schedule"
        FLOW = "flow", "Re-based after a deposit or withdrawal"
        ROLLBACK = "rollback", "Rolled back"
        LINEUP = "lineup", "Line-up applied"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="allocation_versions")
    number = models.PositiveBigIntegerField(help_text="The plan's number; it grows by one")
    cause = models.CharField(max_length=12, choices=Cause.choices)
    note = models.CharField(max_length=200, blank=True)
    restored = models.PositiveBigIntegerField(null=True, help_text="The version that a rollback went back to")
    total = MoneyField(null=True, help_text="What the account was worth; null where nobody wrote it down")
    reserve_percent = models.DecimalField(max_digits=7, decimal_places=4, default=0, help_text="Never dealt out")
    band_percent = models.DecimalField(
        max_digits=7, decimal_places=4, default=0, help_text="Of the account: a re-base leaves smaller differences alone"
    )
    rebase_hours = models.PositiveIntegerField(default=0, help_text="Hours of market time between re-bases; 0 for never")
    rebases_after_flows = models.BooleanField(default=False)
    market_at = models.DateTimeField(null=True, help_text="Market time")
    set_at = models.DateTimeField(help_text="Wall time")
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["account", "number"], name="allocation_version_unique"),
            models.CheckConstraint(
                condition=Q(reserve_percent__gte=0, reserve_percent__lte=100, band_percent__gte=0, band_percent__lte=100),
                name="allocation_policy_in_range",
            ),
        ]

    def __str__(self) -> str:
        return f"version {self.number}"


class RebaseClock(models.Model):
    """Up to where an account's automatic re-bases were served."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE, related_name="rebase_clock")
    slot_at = models.DateTimeField(help_text="Market time: begin of the newest slot of the schedule that was served")
    net_flows = MoneyField(help_text="The account's flows that the shares account for")

    def __str__(self) -> str:
        return f"served through {self.slot_at:%Y-%m-%d %H:%M}"
