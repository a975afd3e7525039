"""Tables of trials: what was asked, whose turn it was when, and what each made of it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q


class Trial(models.Model):
    """Each bot alone for some hours, one after another: on the account, or in a simulation over stored candles."""

    class Kind(models.TextChoices):
        """Where the bots trade."""

        ACCOUNT = "account", "On the account"
        SIMULATION = "simulation", "In a simulation"

    class State(models.TextChoices):
        """Where a trial stands."""

        QUEUED = "queued"
        RUNNING = "running"
        # All turns are over, or it was cancelled: the account goes back to the mode it had.
        RESTORING = "restoring", "Going back to the mode before"
        DONE = "done"
        CANCELLED = "cancelled"
        FAILED = "failed"

    account = models.ForeignKey("portfolio.Account", on_delete=models.CASCADE, related_name="trials")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    state = models.CharField(max_length=9, choices=State.choices, default=State.QUEUED)
    hours = models.PositiveIntegerField(help_text="How long each turn lasts, in hours of market time")
    rounds = models.PositiveIntegerField(default=1, help_text="How many turns each bot has")
    # On the account.
    budget = models.DecimalField(max_digits=38, decimal_places=18, null=True, help_text="What each is sized by at most")
    mode_before = models.JSONField(default=dict, help_text="What the account goes back to")
    looked_at = models.DateTimeField(null=True, help_text="Market time through which everything was done")
    blocked_code = models.CharField(max_length=64, blank=True, help_text="Why the next switch has to wait")
    blocked_message = models.CharField(max_length=300, blank=True)
    # In a simulation.
    begin_at = models.DateTimeField(null=True)
    folder = models.CharField(max_length=500, blank=True, help_text="Folder of Parquet candles; empty for the database")
    allocation = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    taker_fee = models.DecimalField(max_digits=38, decimal_places=18, default=0)
    maker_fee = models.DecimalField(max_digits=38, decimal_places=18, default=0)
    half_spread = models.DecimalField(max_digits=38, decimal_places=18, default=0)
    slippage = models.DecimalField(max_digits=38, decimal_places=18, default=0)
    source_hash = models.CharField(max_length=64, help_text="SHA-256 of the code that decides")
    error = models.CharField(max_length=500, blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField(help_text="Wall time")
    started_at = models.DateTimeField(null=True, help_text="Wall time")
    finished_at = models.DateTimeField(null=True, help_text="Wall time")
    applied_version = models.PositiveIntegerField(null=True, help_text="The version of the shares that it made")
    applied_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["state", "kind"], name="trial_under_way")]
        constraints = [
            models.CheckConstraint(condition=Q(hours__gt=0, rounds__gt=0), name="trial_has_length"),
            # One bot at a time has the account, so one trial has it.
            models.UniqueConstraint(
                fields=["account"], condition=Q(kind="account", state__in=["running", "restoring"]), name="trial_one_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"trial {self.pk}"

    @property
    def holder(self) -> str:
        """Return the name under which it holds the account's mode."""
        return f"trial {self.pk}"


class TrialLeg(models.Model):
    """One turn of one bot. The row is the queue, and what came of it is kept in it."""

    class State(models.TextChoices):
        """Where a turn stands."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="legs")
    number = models.PositiveIntegerField(help_text="The order of the turns")
    bot = models.ForeignKey("bots.Bot", null=True, on_delete=models.SET_NULL, related_name="+")
    book = models.ForeignKey("portfolio.Book", on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=64)
    setup: models.JSONField[Any] = models.JSONField(help_text="Strategy, parameters, interval and markets as they were")
    state = models.CharField(max_length=7, choices=State.choices, default=State.QUEUED)
    epoch = models.PositiveBigIntegerField(null=True, help_text="The hand-over that gave the account to the bot")
    asked_at = models.DateTimeField(null=True, help_text="Market time at which the switch was asked for")
    begin_at = models.DateTimeField(null=True, help_text="Market time")
    end_at = models.DateTimeField(null=True, help_text="Market time")
    claimed_at = models.DateTimeField(null=True, help_text="Wall time")
    attempts = models.PositiveSmallIntegerField(default=0)
    pnl = models.DecimalField(max_digits=38, decimal_places=18, default=0)
    fees = models.DecimalField(max_digits=38, decimal_places=18, default=0)
    outcome = models.JSONField(default=dict, help_text="Equity by the hour, closed trades, the market's regime")
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["trial", "number"]
        constraints = [models.UniqueConstraint(fields=["trial", "number"], name="trial_leg_unique")]

    def __str__(self) -> str:
        return f"turn {self.number} of trial {self.trial_id}"
