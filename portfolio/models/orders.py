"""From a decision to its fills: decision records, intents, orders, reservations, fills, positions."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from portfolio.models.accounts import Account
from portfolio.models.books import Book
from portfolio.models.ledger import LedgerTransaction
from portfolio.models.money import MoneyField


class DecisionRecord(models.Model):
    """What a bot decided on one candle, and why."""

    book = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="decisions")
    bar_closed_at = models.DateTimeField(help_text="Market time of the decision")
    leg = models.PositiveSmallIntegerField(help_text="Position among the decisions of one candle")
    instrument = models.ForeignKey("marketdata.Instrument", null=True, on_delete=models.PROTECT)
    action = models.CharField(max_length=16, help_text="hold, enter, exit, place, cancel, move_stop")
    reason = models.CharField(max_length=48, help_text="Reason code of the strategy")
    outcome = models.CharField(max_length=16, help_text="none, accepted, denied")
    denial = models.CharField(max_length=48, blank=True, help_text="Reason code of the refusal")
    facts = models.JSONField(default=dict)
    strategy_hash = models.CharField(max_length=64)
    config_hash = models.CharField(max_length=64)
    recorded_at = models.DateTimeField(help_text="Wall time")

    class Meta:
        # Pages show the newest, the newest that did something, and the newest refusals: each must find them without a search.
        indexes = [
            models.Index(fields=["book", "-id"], name="decision_book_newest"),
            models.Index(fields=["book", "-id"], condition=~Q(action="hold"), name="decision_acting"),
            models.Index(fields=["-id"], condition=Q(outcome="denied"), name="decision_denied"),
        ]
        # It also finds a book's decisions by time.
        constraints = [models.UniqueConstraint(fields=["book", "bar_closed_at", "leg"], name="decision_bar_leg_unique")]

    def __str__(self) -> str:
        return f"{self.action} {self.reason}"


class Pair(models.Model):
    """One intent with two legs on two accounts: both were ordered in one transaction, or neither was."""

    number = models.PositiveBigIntegerField(help_text="The strategy's own count")
    bought = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="pairs_bought", help_text="The book that buys")
    sold = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="pairs_sold", help_text="The book that sells")
    market_at = models.DateTimeField()
    created_at = models.DateTimeField(help_text="Wall time")

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(bought=F("sold")), name="pair_has_two_books")]
        indexes = [
            models.Index(fields=["bought", "-id"], name="pair_bought_newest"),
            models.Index(fields=["sold", "-id"], name="pair_sold_newest"),
        ]

    def __str__(self) -> str:
        return f"pair {self.number}"


class Intent(models.Model):
    """Something the coordinator accepted; it leads to at most one order."""

    class Kind(models.TextChoices):
        ENTER = "enter"
        EXIT = "exit"
        PLACE = "place"
        STOP = "stop", "Protective stop"
        FLATTEN = "flatten", "Asked for by a person"

    class State(models.TextChoices):
        WAITING = "waiting", "Waits for cancels"
        ORDERED = "ordered"
        DROPPED = "dropped"

    book = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="intents")
    seq = models.PositiveBigIntegerField(help_text="Order of arbitration on the account")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    state = models.CharField(max_length=8, choices=State.choices)
    instrument = models.ForeignKey("marketdata.Instrument", on_delete=models.PROTECT)
    decision = models.ForeignKey(DecisionRecord, null=True, on_delete=models.PROTECT, related_name="intents")
    parent = models.ForeignKey("self", null=True, on_delete=models.PROTECT, help_text="The entry a stop protects")
    pair = models.ForeignKey(
        Pair,
        null=True,
        on_delete=models.PROTECT,
        related_name="intents",
        db_index=False,
        help_text="Whose leg it is, or what of it it undoes",
    )
    side = models.CharField(max_length=4)
    slot = models.SmallIntegerField(default=0)
    lots = models.BigIntegerField(help_text="0 asks for everything the book holds when the cancels are done")
    limit_price = MoneyField(null=True)
    expected_price = MoneyField(null=True, help_text="What a limited order was sized for; the position cap counts it")
    stop_price = MoneyField(null=True, help_text="Of the stop itself, or of the stop to attach to an entry")
    reason = models.CharField(max_length=48)
    drop_reason = models.CharField(max_length=48, blank=True)
    market_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["book", "seq"], name="intent_seq_unique")]
        indexes = [
            models.Index(fields=["book"], condition=Q(state="waiting"), name="intent_waiting"),
            models.Index(fields=["pair"], condition=Q(pair__isnull=False), name="intent_of_pair"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.side} {self.seq}"


class Order(models.Model):
    """An order, written before it is sent."""

    class Status(models.TextChoices):
        READY = "ready", "Ready, not sent"
        SENDING = "sending"
        UNKNOWN = "unknown", "Outcome unknown"
        OPEN = "open"
        PARTIAL = "partial", "Partly filled"
        CANCELLING = "cancelling"
        FILLED = "filled"
        CANCELED = "canceled"
        EXPIRED = "expired"
        REJECTED = "rejected"
        ABSENT = "absent", "Proven never to have existed"
        WITHDRAWN = "withdrawn", "Never sent"

    LIVE = ("ready", "sending", "unknown", "open", "partial", "cancelling")

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="orders")
    book = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="orders")
    intent = models.OneToOneField(Intent, on_delete=models.PROTECT, related_name="order")
    instrument = models.ForeignKey("marketdata.Instrument", on_delete=models.PROTECT)
    client_order_id = models.CharField(max_length=36, unique=True)
    exchange_order_id = models.CharField(max_length=64, blank=True)
    side = models.CharField(max_length=4)
    type = models.CharField(max_length=16, help_text="LIMIT, LIMIT_MAKER, MARKET, STOP_LOSS as the exchange names them")
    time_in_force = models.CharField(max_length=4, blank=True)
    slot = models.SmallIntegerField(default=0)
    quantity = MoneyField()
    price = MoneyField(null=True)
    stop_price = MoneyField(null=True)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.READY)
    final_status = models.CharField(
        max_length=12, blank=True, help_text="How the exchange says it ended, kept while fills are still missing"
    )
    reason = models.CharField(max_length=48, blank=True, help_text="Reason code of a rejection or unknown outcome")
    message = models.CharField(max_length=300, blank=True, help_text="The exchange's words")
    executed_quantity = MoneyField(default=0, help_text="As the exchange says")
    executed_quote = MoneyField(default=0, help_text="As the exchange says")
    filled_quantity = MoneyField(default=0, help_text="Sum of posted fills")
    filled_quote = MoneyField(default=0)
    fee_ppm = models.PositiveIntegerField(
        default=0, help_text="Fee in quote that the reservation allows for, in millionths; 0: the fee is not taken in quote"
    )
    filled_fee = MoneyField(default=0, help_text="Fees in quote of posted fills, where the reservation allows for them")
    cancel_requested_at = models.DateTimeField(null=True, help_text="Wall time")
    cancel_sent_at = models.DateTimeField(null=True, help_text="Wall time")
    attempt = models.PositiveSmallIntegerField(default=0)
    epoch = models.PositiveBigIntegerField(default=0, help_text="Lease epoch of the trader that sent it")
    filters_version = models.PositiveIntegerField()
    market_at = models.DateTimeField(help_text="Market time of the intent")
    created_at = models.DateTimeField(help_text="Wall time")
    sent_at = models.DateTimeField(null=True, help_text="Wall time")
    acknowledged_at = models.DateTimeField(null=True, help_text="Wall time")
    closed_at = models.DateTimeField(null=True, help_text="Wall time")

    class Meta:
        indexes = [
            models.Index(
                fields=["account", "status"],
                condition=Q(status__in=["ready", "sending", "unknown", "open", "partial", "cancelling"]),
                name="order_live",
            ),
            models.Index(fields=["book", "-id"], name="order_book_newest"),
            models.Index(fields=["book", "-market_at"], name="order_book_market_at"),
            models.Index(
                fields=["account", "-id"], condition=Q(status__in=["rejected", "unknown", "absent"]), name="order_in_trouble"
            ),
            models.Index(fields=["account", "instrument", "exchange_order_id"], name="order_exchange_id"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(quantity__gt=0), name="order_quantity_positive"),
            models.CheckConstraint(condition=Q(attempt__lte=1), name="order_sent_at_most_once"),
            models.CheckConstraint(condition=Q(side__in=["buy", "sell"]), name="order_side_known"),
            models.CheckConstraint(condition=Q(filled_quantity__lte=models.F("quantity")), name="order_not_overfilled"),
        ]

    def __str__(self) -> str:
        return self.client_order_id


class Reservation(models.Model):
    """Capital held for one live order: initial = remaining + posted + voided."""

    order = models.OneToOneField(Order, on_delete=models.PROTECT, related_name="reservation")
    asset = models.CharField(max_length=16)
    initial = MoneyField()
    remaining = MoneyField()
    posted = MoneyField(default=0)
    voided = MoneyField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(initial=models.F("remaining") + models.F("posted") + models.F("voided")),
                name="reservation_adds_up",
            ),
            models.CheckConstraint(
                condition=Q(initial__gt=0, remaining__gte=0, posted__gte=0, voided__gte=0),
                name="reservation_not_negative",
            ),
        ]
        indexes = [models.Index(fields=["-id"], condition=Q(remaining__gt=0), name="reservation_held")]

    def __str__(self) -> str:
        return f"{self.initial.normalize():f} {self.asset}"


class Fill(models.Model):
    """A trade of the account, posted exactly once."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="fills")
    instrument = models.ForeignKey("marketdata.Instrument", on_delete=models.PROTECT)
    trade_id = models.BigIntegerField()
    order = models.ForeignKey(Order, null=True, on_delete=models.PROTECT, related_name="fills")
    book = models.ForeignKey(Book, null=True, on_delete=models.PROTECT, related_name="fills", help_text="Null: manual trade")
    side = models.CharField(max_length=4)
    price = MoneyField()
    quantity = MoneyField()
    quote_quantity = MoneyField()
    fee = MoneyField()
    fee_asset = models.CharField(max_length=16)
    fee_quote = MoneyField(help_text="The fee valued in quote at the trade's price")
    realised = MoneyField(default=0, help_text="Net of fees, average cost")
    is_maker = models.BooleanField()
    traded_at = models.DateTimeField(help_text="Market time")
    posted_at = models.DateTimeField(help_text="Wall time")
    ledger_transaction = models.OneToOneField(LedgerTransaction, on_delete=models.PROTECT, related_name="fill")

    class Meta:
        indexes = [
            models.Index(fields=["book", "-traded_at"]),
            models.Index(fields=["account", "-id"]),
            models.Index(fields=["book", "-id"], name="fill_book_newest"),
        ]
        constraints = [
            # I-20: a trade is applied once, whatever its source.
            models.UniqueConstraint(fields=["account", "instrument", "trade_id"], name="fill_trade_unique"),
            models.CheckConstraint(condition=Q(quantity__gt=0, price__gt=0), name="fill_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.trade_id}"


class Position(models.Model):
    """The fold of a book's fills in one instrument, by average cost."""

    book = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="positions")
    instrument = models.ForeignKey("marketdata.Instrument", on_delete=models.PROTECT)
    quantity = MoneyField(default=0)
    cost = MoneyField(default=0, help_text="Quote paid for the quantity, fees included")
    realised = MoneyField(default=0, help_text="Net of fees")
    fees = MoneyField(default=0, help_text="All fees so far, in quote")
    stop_price = MoneyField(null=True, help_text="Where the protective stop should be; null for none")
    is_unprotected = models.BooleanField(default=False)
    opened_at = models.DateTimeField(null=True)
    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["book", "instrument"], name="position_unique"),
            # Below zero only what an adopted order sold and its book did not have; its cost is then what that brought.
            models.CheckConstraint(
                condition=Q(quantity__gte=0, cost__gte=0) | Q(quantity__lt=0, cost__lte=0), name="position_cost_has_its_sign"
            ),
        ]

    def __str__(self) -> str:
        return f"position {self.pk}"
