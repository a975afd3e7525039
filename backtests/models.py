"""Tables of backtests: what was asked, what came of it, fill by fill."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q

from backtests.spec import USUAL_PARTICIPATION

# Workers tell of themselves while they are at a row; one that is silent for longer is lost, and another takes it.
CLAIM_HOLDS: Final = timedelta(minutes=3)


class BacktestRun(models.Model):
    """One backtest, asked for once and run once."""

    class State(models.TextChoices):
        """Where a run stands."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        CANCELLED = "cancelled"
        FAILED = "failed"

    strategy = models.CharField(max_length=64)
    params = models.JSONField(help_text="Every parameter, checked and complete")
    symbol = models.CharField(max_length=32)
    others = models.JSONField(default=list, help_text="Further markets, in the order of the strategy's panel")
    interval = models.CharField(max_length=4)
    base_interval = models.CharField(max_length=4, help_text="Interval of the candles that orders are matched on")
    folder = models.CharField(max_length=500, blank=True, help_text="Folder of Parquet candles; empty for the database")
    begin_at = models.DateTimeField()
    end_at = models.DateTimeField()
    anchor_at = models.DateTimeField(null=True, blank=True)
    trade_from_at = models.DateTimeField(null=True, blank=True)
    allocation = models.DecimalField(max_digits=38, decimal_places=18)
    taker_fee = models.DecimalField(max_digits=38, decimal_places=18)
    maker_fee = models.DecimalField(max_digits=38, decimal_places=18)
    taker_fees = models.JSONField(default=list, blank=True, help_text="A taker's fee in each market, where they differ")
    half_spread = models.DecimalField(max_digits=38, decimal_places=18)
    slippage = models.DecimalField(max_digits=38, decimal_places=18)
    participation = models.DecimalField(max_digits=38, decimal_places=18, default=USUAL_PARTICIPATION)
    detail_interval = models.CharField(max_length=4, blank=True, help_text="Candles that tell the order of ambiguous ones")
    frictions = models.JSONField(default=dict, blank=True, help_text="Slippage models, fee tiers, latency; empty for none")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of everything above")
    source_hash = models.CharField(max_length=64, help_text="SHA-256 of the code that decided")
    state = models.CharField(max_length=9, choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_at = models.DateTimeField(null=True, blank=True, help_text="When its worker last told of itself")
    bars = models.PositiveIntegerField(default=0, help_text="Base candles to walk, once a worker has read them")
    bars_done = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    metrics = models.JSONField(default=dict)
    reasons = models.JSONField(default=dict, help_text="How often each reason was given")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True, help_text="When a worker began to walk its candles")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["state", "requested_at"], name="backtest_run_waiting")]
        constraints = [
            models.CheckConstraint(condition=Q(allocation__gt=0), name="backtest_allocation_positive"),
            models.CheckConstraint(condition=Q(end_at__gt=models.F("begin_at")), name="backtest_stretch_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.strategy} on {', '.join((self.symbol, *self.others))} {self.interval} ({self.state})"


class BacktestFill(models.Model):
    """One fill of a backtest, in order."""

    run = models.ForeignKey(BacktestRun, on_delete=models.CASCADE, related_name="fills")
    number = models.PositiveIntegerField()
    filled_at = models.DateTimeField()
    side = models.CharField(max_length=4)
    kind = models.CharField(max_length=8)
    quantity = models.DecimalField(max_digits=38, decimal_places=18)
    price = models.DecimalField(max_digits=38, decimal_places=18)
    fee = models.DecimalField(max_digits=38, decimal_places=18)
    fee_asset = models.CharField(max_length=16)
    reason = models.CharField(max_length=40)
    slot = models.SmallIntegerField(default=-1)
    symbol = models.CharField(max_length=32, blank=True, help_text="The fill's market, where there are several")
    stop_price = models.DecimalField(
        max_digits=38, decimal_places=18, null=True, blank=True, help_text="The stop that an entry came with"
    )

    class Meta:
        ordering = ["run", "number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="backtest_fill_unique")]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity} at {self.price}"


class BacktestReport(models.Model):
    """What a finished backtest's report shows: measured when it ran, on the candles it ran on."""

    run = models.OneToOneField(BacktestRun, on_delete=models.CASCADE, related_name="report")
    content = models.JSONField()
    data_hash = models.CharField(max_length=64, help_text="SHA-256 of the candles")
    made_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"report of backtest {self.run_id}"


class Study(models.Model):
    """What every job over a stretch of candles that workers share has: its costs, its fingerprints and how far it is."""

    class State(models.TextChoices):
        """Where a study stands."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        CANCELLED = "cancelled"
        FAILED = "failed"

    begin_at = models.DateTimeField()
    end_at = models.DateTimeField()
    folder = models.CharField(max_length=500, blank=True, help_text="Folder of Parquet candles; empty for the database")
    fee = models.DecimalField(max_digits=38, decimal_places=18)
    half_spread = models.DecimalField(max_digits=38, decimal_places=18)
    slippage = models.DecimalField(max_digits=38, decimal_places=18)
    participation = models.DecimalField(max_digits=38, decimal_places=18, default=USUAL_PARTICIPATION)
    frictions = models.JSONField(default=dict, blank=True, help_text="Slippage models, fee tiers, latency; empty for none")
    source_hash = models.CharField(max_length=64, help_text="SHA-256 of the code that decides")
    state = models.CharField(max_length=9, choices=State.choices, default=State.QUEUED)
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True


class Sweep(Study):
    """Many combinations of parameters, asked for once and tried once."""

    strategy = models.CharField(max_length=64)
    grid = models.JSONField(help_text="The values of each parameter, in order")
    fixed = models.JSONField(default=dict, help_text="Parameters that are the same in every trial")
    sample = models.PositiveIntegerField(default=0, help_text="Combinations drawn from the grid; 0 for all")
    seed = models.PositiveIntegerField(default=0)
    symbol = models.CharField(max_length=32)
    interval = models.CharField(max_length=4)
    allocation = models.DecimalField(max_digits=38, decimal_places=18)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of everything above")
    data_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the candles, once a worker has read them")
    trials = models.PositiveIntegerField()

    class Meta:
        indexes = [models.Index(fields=["state", "requested_at"], name="sweep_waiting")]
        constraints = [
            models.CheckConstraint(condition=Q(trials__gt=0), name="sweep_trials_positive"),
            models.CheckConstraint(condition=Q(allocation__gt=0), name="sweep_allocation_positive"),
            models.CheckConstraint(condition=Q(end_at__gt=models.F("begin_at")), name="sweep_stretch_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.trials} trials of {self.strategy} on {self.symbol} {self.interval} ({self.state})"


class SweepChunk(models.Model):
    """Some trials of a sweep: the row is the queue, and its Parquet bytes are the answer."""

    class State(models.TextChoices):
        """Where a chunk stands."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"

    sweep = models.ForeignKey(Sweep, on_delete=models.CASCADE, related_name="chunks")
    number = models.PositiveIntegerField()
    begin = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    state = models.CharField(max_length=7, choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # In the database and not in a folder: workers on other hosts share no disk.
    results = models.BinaryField(null=True)

    class Meta:
        ordering = ["sweep", "number"]
        constraints = [
            models.UniqueConstraint(fields=["sweep", "number"], name="sweep_chunk_unique"),
            models.CheckConstraint(condition=Q(end__gt=models.F("begin")), name="sweep_chunk_positive"),
        ]

    def __str__(self) -> str:
        return f"trials {self.begin} to {self.end} of sweep {self.sweep_id} ({self.state})"


class PlanComparison(Study):
    """Plans of a whole account, simulated over the same candles and put side by side."""

    capital = models.DecimalField(max_digits=38, decimal_places=18)
    interval = models.CharField(max_length=4, blank=True, help_text="For all bots; empty: each its own")
    base_interval = models.CharField(max_length=4, blank=True, help_text="Candles to match on; empty: the shortest")
    is_limited = models.BooleanField(help_text="Whether the caps of the day and the limit on an order's value hold")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of everything above and of the plans")

    class Meta:
        indexes = [models.Index(fields=["state", "requested_at"], name="comparison_waiting")]
        constraints = [
            models.CheckConstraint(condition=Q(capital__gt=0), name="comparison_capital_positive"),
            models.CheckConstraint(condition=Q(end_at__gt=models.F("begin_at")), name="comparison_stretch_positive"),
        ]

    def __str__(self) -> str:
        return f"comparison {self.pk} ({self.state})"


class ComparedPlan(models.Model):
    """One plan of a comparison: the row is the queue, tells how far it is, and holds what came of it."""

    class State(models.TextChoices):
        """Where a plan stands."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    comparison = models.ForeignKey(PlanComparison, on_delete=models.CASCADE, related_name="plans")
    number = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=200)
    mode = models.CharField(max_length=10)
    content = models.JSONField(help_text="The plan file, as it was asked for")
    asked_mode = models.CharField(max_length=10, blank=True)
    bot = models.CharField(max_length=64, blank=True)
    rotation = models.TextField(blank=True)
    budget = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    bars = models.PositiveIntegerField(help_text="Base candles, for all bots together")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the plan")
    data_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of candles and filters, once read")
    state = models.CharField(max_length=7, choices=State.choices, default=State.QUEUED)
    error = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_at = models.DateTimeField(null=True, blank=True, help_text="When its worker last told of itself")
    market_at = models.DateTimeField(null=True, blank=True, help_text="How far the simulation is")
    finished_at = models.DateTimeField(null=True, blank=True)
    report = models.JSONField(default=dict)
    curve = models.JSONField(default=dict)
    benchmark = models.JSONField(default=dict)

    class Meta:
        ordering = ["comparison", "number"]
        constraints = [models.UniqueConstraint(fields=["comparison", "number"], name="compared_plan_unique")]

    def __str__(self) -> str:
        return f"{self.name} of comparison {self.comparison_id} ({self.state})"
