"""Tables of what the market offers and what it did: markets, instruments, candles and marks."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from exchange.connect import buy_fee_quote_ppm


class Market(models.Model):
    """One exchange's market in one epoch; another replay is another market."""

    exchange = models.CharField(max_length=32, help_text="ccxt id, for example binance")
    epoch = models.CharField(max_length=64, help_text="Identity of the price history: 'real' or the venue's market epoch")
    label = models.CharField(max_length=200, help_text="What a person reads beside every price of this market")
    is_synthetic = models.BooleanField(default=False)
    rest_url = models.URLField(blank=True, help_text="Empty for the exchange's own address")
    stream_url = models.CharField(max_length=200, blank=True)
    control_url = models.URLField(blank=True, help_text="The local venue's control address; empty for a real exchange")
    taker_fee_ppm = models.PositiveIntegerField(default=1000, help_text="What a decision expects to pay; fills say what was paid")
    maker_fee_ppm = models.PositiveIntegerField(default=1000)
    half_spread_ppm = models.PositiveIntegerField(default=50, help_text="Half the spread a decision expects")
    is_watched = models.BooleanField(default=False, help_text="A feed follows it though no account trades there")
    market_time_at = models.DateTimeField(null=True, blank=True, help_text="Close of the newest closed candle")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["exchange", "epoch"], name="market_exchange_epoch_unique")]

    def __str__(self) -> str:
        return f"{self.exchange} ({self.label})"

    @property
    def buy_fee_ppm(self) -> int:
        """Return what may be taken of a buy's quote, in millionths; 0 where the fee is what was bought or a third asset."""
        return buy_fee_quote_ppm(self.exchange, self.taker_fee_ppm, self.maker_fee_ppm)


class Instrument(models.Model):
    """A tradable pair with the filters in force."""

    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="instruments")
    symbol = models.CharField(max_length=32, help_text="ccxt unified, for example BTC/USDT")
    venue_symbol = models.CharField(max_length=32, help_text="The exchange's own name, for example BTCUSDT")
    base = models.CharField(max_length=16)
    quote = models.CharField(max_length=16)
    tick_size = models.DecimalField(max_digits=38, decimal_places=18)
    lot_size = models.DecimalField(max_digits=38, decimal_places=18)
    quantity_min = models.DecimalField(max_digits=38, decimal_places=18)
    quantity_max = models.DecimalField(max_digits=38, decimal_places=18)
    notional_min = models.DecimalField(max_digits=38, decimal_places=18)
    order_count_max = models.PositiveIntegerField(default=200)
    filters = models.JSONField(default=dict, help_text="The exchange's filters as it sent them")
    filters_version = models.PositiveIntegerField(default=1)
    filters_read_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["market", "symbol"], name="instrument_market_symbol_unique"),
            models.CheckConstraint(condition=Q(tick_size__gt=0, lot_size__gt=0), name="instrument_steps_positive"),
        ]

    def __str__(self) -> str:
        return self.symbol


class Subscription(models.Model):
    """An interval of an instrument that somebody uses; the feed keeps its candles."""

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="subscriptions")
    interval = models.CharField(max_length=4)
    history_bars = models.PositiveIntegerField(help_text="How many candles before the start must be there")
    synced_from_at = models.DateTimeField(null=True, blank=True, help_text="Open from which on the exchange was asked")
    synced_through_at = models.DateTimeField(
        null=True, blank=True, help_text="Every candle closed up to here is stored, or proven not to exist"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instrument", "interval"], name="subscription_unique"),
            models.CheckConstraint(condition=Q(history_bars__gt=0), name="subscription_history_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.instrument} {self.interval}"


class Candle(models.Model):
    """A closed candle; floats, because candles decide and never account."""

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="candles")
    interval = models.CharField(max_length=4)
    open_at = models.DateTimeField()
    open = models.FloatField()
    high = models.FloatField()
    low = models.FloatField()
    close = models.FloatField()
    volume = models.FloatField()
    revision = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instrument", "interval", "open_at"], name="candle_unique"),
            models.CheckConstraint(
                condition=Q(low__gt=0, high__gte=F("low"), volume__gte=0)
                & Q(open__gte=F("low"), open__lte=F("high"), close__gte=F("low"), close__lte=F("high")),
                name="candle_is_sane",
            ),
        ]


class Mark(models.Model):
    """The newest price of an instrument: the mid of the best bid and ask."""

    instrument = models.OneToOneField(Instrument, on_delete=models.CASCADE, related_name="mark")
    price = models.DecimalField(max_digits=38, decimal_places=18)
    market_at = models.DateTimeField(help_text="Market time of the price")
    received_at = models.DateTimeField(help_text="Wall time of arrival")


class PriceHealth(models.Model):
    """Whether the prices of an instrument can be trusted with new money, as its feed sees them."""

    instrument = models.OneToOneField(Instrument, on_delete=models.CASCADE, related_name="price_health")
    doubt = models.CharField(max_length=16, blank=True, help_text="Empty when nothing is wrong")
    detail = models.CharField(max_length=200, blank=True)
    since_at = models.DateTimeField(null=True, blank=True, help_text="Wall time since which it is in doubt")
    silent_seconds = models.FloatField(default=0, help_text="How long it was not known to be up to date")
    looked_at = models.DateTimeField(help_text="Wall time at which the feed last looked")


class InstrumentFilters(models.Model):
    """Filters of an instrument as they were from a moment on: what an order then had to respect."""

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="filters_history")
    version = models.PositiveIntegerField()
    in_force = models.JSONField(help_text="Steps and bounds, as decimal text")
    filters = models.JSONField(default=dict, help_text="The exchange's filters as it sent them")
    from_at = models.DateTimeField(help_text="Wall time at which they were first seen")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instrument", "version"], name="instrument_filters_unique")]


class SourceState(models.Model):
    """A source beyond price: whether it is wanted, and how it fares."""

    name = models.CharField(max_length=32, unique=True)
    is_enabled = models.BooleanField(default=False)
    asked_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="In a row; after some the source is left alone for a while")
    retry_at = models.DateTimeField(null=True, blank=True)
    message = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return self.name


class Observation(models.Model):
    """What a source said, with both times: of what it was said, and when it could be known. Rows are never changed."""

    source = models.CharField(max_length=32)
    entity = models.CharField(max_length=16, help_text="A coin, or market")
    key = models.CharField(max_length=64, blank=True, help_text="Names the event among others of the same moment")
    event_at = models.DateTimeField()
    available_at = models.DateTimeField(help_text="From then on a decision may know it")
    ingested_at = models.DateTimeField()
    value = models.FloatField(null=True, blank=True)
    reference = models.CharField(max_length=200, blank=True)
    raw_hash = models.CharField(max_length=64, help_text="SHA-256 of the answer it was read from")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "entity", "event_at", "key", "available_at"], name="observation_unique"),
            models.CheckConstraint(condition=Q(available_at__gte=F("event_at")), name="observation_known_after_event"),
        ]
        indexes = [models.Index(fields=["source", "entity", "available_at"], name="observation_known")]


class AddressUse(models.Model):
    """What this address has used of an exchange's allowance in a window of time; counted by all processes together."""

    host = models.CharField(max_length=128)
    kind = models.CharField(max_length=16)
    window = models.BigIntegerField()
    used = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "kind"], name="address_use_unique")]


class HistoryJob(models.Model):
    """Work on the history root that somebody asked for; the row is the queue and the progress."""

    class Kind(models.TextChoices):
        """What is done."""

        FETCH = "fetch"
        VERIFY = "verify"
        IMPORT = "import"
        EXPORT = "export"

    class State(models.TextChoices):
        """Where it stands."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    params = models.JSONField(default=dict, help_text="What was asked for, as on the command line")
    state = models.CharField(max_length=9, choices=State.choices, default=State.QUEUED)
    stage = models.CharField(max_length=64, blank=True)
    steps_done = models.PositiveIntegerField(default=0)
    steps_total = models.PositiveIntegerField(default=0)
    rows = models.PositiveBigIntegerField(default=0)
    rows_per_second = models.FloatField(default=0)
    bytes_per_second = models.FloatField(default=0)
    seconds_left = models.FloatField(null=True, blank=True)
    message = models.TextField(blank=True)
    outcome = models.JSONField(default=dict)
    # Raised with every change; what a browser holds is older than what it is sent.
    version = models.PositiveIntegerField(default=0)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    requested_at = models.DateTimeField()
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    beat_at = models.DateTimeField(null=True, blank=True, help_text="Last sign of life of whoever works on it")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["state", "requested_at"], name="history_job_waiting")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} ({self.state})"
