"""Tables of bots: who trades what with which strategy, and what the strategy remembers."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q


class Bot(models.Model):
    """A strategy with parameters, markets and a book of its own."""

    class Status(models.TextChoices):
        RUNNING = "running"
        PAUSED = "paused", "Entries paused"
        STOPPED = "stopped"
        HALTED = "halted", "Halted by an error"

    book = models.OneToOneField("portfolio.Book", on_delete=models.PROTECT, related_name="bot")
    key = models.CharField(max_length=32, help_text="BOT_KEY, for example MEAN_REVERSION")
    name = models.CharField(max_length=64)
    strategy = models.CharField(max_length=64)
    strategy_hash = models.CharField(max_length=64, help_text="Hash of the strategy's sources, pinned at start")
    params = models.JSONField(default=dict)
    interval = models.CharField(max_length=4)
    instruments = models.ManyToManyField("marketdata.Instrument", related_name="bots")
    leader = models.OneToOneField(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="follower",
        help_text="The bot on another account that decides for this one too; empty: it decides for itself",
    )
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.STOPPED)
    status_reason = models.CharField(max_length=200, blank=True)
    rank = models.PositiveSmallIntegerField(help_text="Arbitration order and colour on every page")
    anchor_at = models.DateTimeField(null=True, blank=True, help_text="Open of the first candle the indicators fold over")
    started_at = models.DateTimeField(
        null=True, blank=True, help_text="Market time of the start: earlier candles are caught up with in silence"
    )
    bar_closed_at = models.DateTimeField(null=True, blank=True, help_text="Close of the last candle stepped: the claim")
    version = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["rank"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=["running", "paused", "stopped", "halted"]), name="bot_status_known"),
            models.CheckConstraint(condition=Q(leader=None) | ~Q(leader=F("id")), name="bot_leads_another"),
        ]

    def __str__(self) -> str:
        return self.name


class BotState(models.Model):
    """What the strategy remembered after a candle."""

    bot = models.OneToOneField(Bot, on_delete=models.CASCADE, related_name="state")
    bar_closed_at = models.DateTimeField()
    schema_hash = models.CharField(max_length=64)
    last_fill_id = models.BigIntegerField(default=0, help_text="The newest fill that a step has seen")
    data = models.BinaryField(help_text="Packed, see bots.memory")


class BotDrift(models.Model):
    """How far a bot's fills lie from what its backtest assumes, as last looked at, and the alarm that this gave (P7)."""

    bot = models.OneToOneField(Bot, on_delete=models.CASCADE, related_name="drift")
    last_fill_id = models.BigIntegerField(default=0, help_text="The newest fill that was looked at")
    waiting = models.PositiveIntegerField(default=0, help_text="Orders whose candle had not closed yet")
    orders = models.PositiveIntegerField(default=0, help_text="Orders that were compared")
    mean_bps = models.FloatField(null=True)
    low_bps = models.FloatField(null=True, help_text="Of the mean's 95 % interval")
    high_bps = models.FloatField(null=True, help_text="Of the mean's 95 % interval")
    alarmed_at = models.DateTimeField(null=True, help_text="Wall time of the newest alarm")
    cleared_at = models.DateTimeField(null=True, help_text="Wall time at which its cause was gone")
    clear_reason = models.CharField(max_length=48, blank=True, help_text="Reason code")
    looked_at = models.DateTimeField(help_text="Wall time")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(cleared_at__isnull=True) | (Q(alarmed_at__isnull=False) & ~Q(clear_reason="")),
                name="bot_drift_cleared_with_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"drift of {self.bot_id}"

    @property
    def is_alarmed(self) -> bool:
        """Say whether the alarm lasts."""
        return self.alarmed_at is not None and self.cleared_at is None
