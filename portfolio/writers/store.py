"""The rows of one locked account in PostgreSQL: what the rules ask for, loaded and locked; what they hand back, written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, cast

from django.db.models import Q

from marketdata import sql
from marketdata.models import Instrument, Mark
from marketdata.selectors import Close, Price, prices
from portfolio.models import Account, Book, DecisionRecord, Fill, Intent, Order, Position, Reservation
from portfolio.selectors import risk as reading
from portfolio.selectors.modes import stance_of
from portfolio.selectors.passings import last_passing
from portfolio.writers import changes as writing
from portfolio.writers import loading, risk
from portfolio.writers.accounts import RESTORED
from portfolio.writers.claiming import claim_order
from portfolio.writers.ledger import Pockets
from portfolio.writers.loading import Loaded
from trading.desk.claims import Claim
from trading.desk.desk import Desk
from trading.desk.rows import (
    ENTRIES,
    AccountRow,
    BookRow,
    DecisionRow,
    FillRow,
    InstrumentRow,
    IntentRow,
    OrderRow,
    PositionRow,
)
from trading.desk.store import Changes, OwnerUnknown, TradeFacts
from trading.handover import Stance
from trading.ledger import ZERO, Pocket
from trading.orders import ClientOrderId, TradeReport, generation, parse_client_order_id, same_family
from trading.risk import LIMITS_MISSING, REFUSE, RiskRoom, opening_limits

# In so much market time a stream that works tells a price or is asked for one. Where the market is run faster than the marks
# are written down, they may be candles behind.
_MARK_BEHIND_MAX: Final = timedelta(minutes=1)
_ENTRIES_AFTER: Final = """
SELECT o.book_id, count(*)
  FROM portfolio_order o JOIN portfolio_intent i ON i.id = o.intent_id JOIN portfolio_book b ON b.id = o.book_id
 WHERE b.account_id = %s AND o.market_at > %s AND i.kind = ANY(%s)
 GROUP BY o.book_id
"""


def open_desk(account: Account, *, now: datetime, market_at: datetime | None = None, is_locked: bool = True) -> Desk:
    """Open a desk on a locked account; what its rules change is written by `desk.write()`. Unlocked, it is for reading."""
    moment = market_at or account.synced_through_at or now
    store = PostgresStore(account, market_at=moment, now=now, is_locked=is_locked)
    return Desk(store, cast("AccountRow", account), market_at=moment, now=now)


class PostgresStore:
    """The port of the rules on PostgreSQL; models are handed out as they are."""

    def __init__(self, account: Account, *, market_at: datetime, now: datetime, is_locked: bool) -> None:
        self.account = account
        self.is_locked = is_locked
        self.market_at = market_at
        self.now = now
        self._books: list[Book] | None = None
        self._pockets = Pockets(account)
        self._locked: dict[int, Order] = {}
        self._asked: set[tuple[str | None, str, int]] = set()
        self._of_trades: dict[tuple[str, str], Loaded] = {}
        self._pairs: dict[str, Instrument] = {}
        # By instrument: the trades that were asked for, and which of them are posted.
        self._posted: dict[int, tuple[frozenset[int], frozenset[int]]] = {}

    @cached_property
    def _prices(self) -> dict[int, Price]:
        """The newest price of each instrument: its mark, or the last close where the mark is far behind it."""
        found = prices(self.account.market_id, now=self.now)
        # Nobody has to look for the closes where all marks are of this minute.
        behind = self.market_at - _MARK_BEHIND_MAX
        late = [number for number, price in found.items() if price.marked_at is not None and price.marked_at < behind]
        return found | {number: self._at_close(number, found[number]) for number in late}

    @cached_property
    def _closes(self) -> dict[int, Close]:
        return reading.closes(self.account, self.market_at)

    def _at_close(self, instrument_id: int, price: Price) -> Price:
        close = self._closes.get(instrument_id)
        if close is None or price.marked_at is None or price.marked_at >= close.ended_at - _MARK_BEHIND_MAX:
            return price
        return price._replace(mark=close.price, marked_at=close.ended_at)

    def _prices_in(self, quote: str) -> dict[str, Decimal]:
        found = {row.base: row.mark for row in self._prices.values() if row.mark is not None and row.quote == quote}
        return found | {quote: Decimal(1)}

    def books(self) -> Iterable[BookRow]:
        """Return all books of the account."""
        if self._books is None:
            self._books = loading.books(self.account)
        return cast("list[BookRow]", self._books)

    def pockets(self, book_ids: Collection[int] | None) -> Mapping[Pocket, Decimal]:
        """Return the balances of the pools and of these books, or of all."""
        return self._pockets.load(book_ids)

    def live_orders(self) -> Iterable[OrderRow]:
        """Return the live orders of the account; one that is locked already comes as it was locked, with all its columns."""
        return cast("list[OrderRow]", [self._locked.get(row.pk, row) for row in loading.live_orders(self.account)])

    def waiting_intents(self) -> Iterable[IntentRow]:
        """Return the intents of the account that wait for cancels."""
        return cast("list[IntentRow]", loading.waiting_intents(self.account))

    def positions(self) -> Iterable[PositionRow]:
        """Return all positions of the account's books."""
        return cast("list[PositionRow]", loading.positions(self.account))

    def instruments(self, instrument_ids: Collection[int]) -> Iterable[InstrumentRow]:
        """Return these instruments."""
        return cast("list[InstrumentRow]", list(Instrument.objects.filter(id__in=instrument_ids)))

    def marks(self, instrument_ids: Collection[int]) -> Mapping[int, Decimal]:
        """Return the newest prices there are."""
        found = ((number, self._prices[number].mark) for number in instrument_ids if number in self._prices)
        return {number: mark for number, mark in found if mark is not None}

    def price_troubles(self) -> Mapping[int, str]:
        """Say of each instrument of the market whose prices are in doubt, why."""
        return {number: price.trouble for number, price in self._prices.items() if price.trouble}

    def fee_mark(self, asset: str, quote: str) -> Decimal | None:
        """Return the newest price of a fee asset in quote."""
        marks = Mark.objects.filter(instrument__market=self.account.market_id, instrument__base=asset, instrument__quote=quote)
        return marks.values_list("price", flat=True).first()

    def entry_counts(self, *, after: datetime) -> Mapping[int, int]:
        """Count the entries ordered after a market time, by book."""
        return dict(sql.rows(_ENTRIES_AFTER, self.account.pk, after, sorted(ENTRIES)))

    def has_had_stop(self, book_id: int, instrument_id: int) -> bool:
        """Say whether a book ever asked for a stop in an instrument."""
        return Intent.objects.filter(book=book_id, instrument=instrument_id, kind=Intent.Kind.STOP).exists()

    def newest_stop(self, book_id: int, instrument_id: int) -> OrderRow | None:
        """Return the newest stop order of a book in an instrument, to be read and not changed."""
        rows = Order.objects.filter(book=book_id, instrument=instrument_id, intent__kind=Intent.Kind.STOP)
        return cast("OrderRow | None", rows.select_related("intent", "instrument").order_by("-id").first())

    def risk(self) -> RiskRoom:
        """Return what the risk rules must know of the account; the day's start is recorded if nobody has yet."""
        account = self.account
        limits, book_limits = reading.limits_in_force(account.pk)
        starts = reading.day_starts(account.pk, self.market_at.astimezone(UTC).date())
        books: list[Any] = list(self.books())
        is_day_open = starts.keys() >= {None, *(book.pk for book in books)}
        if not is_day_open and self.is_locked:
            is_day_open = True
            starts = risk.open_day(account, market_at=self.market_at, now=self.now) | starts
        latches = reading.latched_codes(account.pk)
        refuses = limits is not None and limits.opposite_positions == REFUSE
        return RiskRoom(
            limits=limits or opening_limits(ZERO),
            book_limits=book_limits,
            starts=starts,
            is_day_open=is_day_open,
            net_flows={None: account.net_flows} | {book.pk: book.net_flows for book in books},
            prices=self._prices_in(account.quote_asset),
            closes={number: close.price for number, close in self._closes.items()},
            volumes=reading.volumes_wanted(account, self.market_at, (limits, *book_limits.values())),
            latches=latches if limits is not None else {None: LIMITS_MISSING},
            barren=reading.barren_entries(account.pk),
            sold_lately=reading.sold_lately(account.pk, self.market_at) if refuses else frozenset(),
        )

    def stance(self) -> Stance | None:
        """Return whose turn it is in the operator's mode; none where every bot has its share."""
        return stance_of(self.account)

    def order(self, order_id: int) -> OrderRow:
        """Return an order, locked for this transaction."""
        if order_id not in self._locked:
            self._locked[order_id] = loading.locked_order(self.account, order_id)
        return cast("OrderRow", self._locked[order_id])

    def lock_orders(self, order_ids: Collection[int], names: Collection[str]) -> Iterable[OrderRow]:
        """Return the orders of these numbers and of these client order ids, locked in one go; who is not there is left out."""
        rows = loading.locked_orders(self.account, order_ids, names)
        return cast("list[OrderRow]", [self._locked.setdefault(row.pk, row) for row in rows])

    def prefetch_trades(self, trades: Sequence[TradeReport]) -> None:
        """Load in one go what these trades will ask for, unless it is here already; their orders are locked."""
        trades = [trade for trade in trades if _asking(trade) not in self._asked]
        if not trades:
            return
        names = {trade.client_order_id for trade in trades if trade.client_order_id is not None}
        numbers = {trade.exchange_order_id for trade in trades if trade.client_order_id is None}
        rows = loading.orders_of_trades(self.account, names, numbers, [trade.trade_id for trade in trades])
        self._asked |= {_asking(trade) for trade in trades}
        for row in rows:
            self._locked.setdefault(row.order.pk, row.order)
            for name in {row.order.client_order_id} & names:
                self._of_trades[name, ""] = row
            if row.order.exchange_order_id in numbers:
                for symbol in (row.order.instrument.symbol, row.order.instrument.venue_symbol):
                    self._of_trades[row.order.exchange_order_id, symbol] = row

    def trade_facts(self, trade: TradeReport) -> TradeFacts:
        """Return the order of a trade, locked, and what is on record beside it; raise OwnerUnknown."""
        self.prefetch_trades([trade])
        numbered = (trade.exchange_order_id, trade.symbol)
        found = self._of_trades.get((trade.client_order_id, "") if trade.client_order_id is not None else numbered)
        if found is None:
            return self._without_order(trade)
        order = self._locked[found.order.pk]
        if trade.symbol not in (order.instrument.symbol, order.instrument.venue_symbol):
            raise OwnerUnknown(f"{trade.client_order_id} is an order in {order.instrument.symbol}, not in {trade.symbol}")
        return TradeFacts(
            order=cast("OrderRow", order),
            instrument=cast("InstrumentRow", order.instrument),
            position=cast("PositionRow | None", found.position),
            is_posted=trade.trade_id in found.posted,
            newest=found.newest,
        )

    def fills_after(self, book_id: int, instrument_id: int, trade: TradeReport) -> Sequence[FillRow]:
        """Return the fills of a position that come after a trade by (time, number), oldest first; none beyond a barrier."""
        rows = Fill.objects.filter(_after(trade), book=book_id, instrument=instrument_id).select_related("instrument")
        rows = rows.filter(ledger_transaction__seq__gt=last_passing(book_id, instrument_id))
        return cast("list[FillRow]", list(rows.order_by("traded_at", "trade_id")))

    def claim(self, order: OrderRow, claim: Claim) -> bool:
        """Set the values if the order's row allows it at this very moment."""
        return claim_order(cast("Order", order).pk, claim)

    def make_decision(self, **values: Any) -> DecisionRow:
        """Make a decision record, not written yet."""
        return cast("DecisionRow", DecisionRecord(**values))

    def make_intent(self, *, parent: IntentRow | None = None, **values: Any) -> IntentRow:
        """Make an intent, not written yet; it belongs to the decision of its parent."""
        intent = Intent(**values)
        if parent is not None:
            intent.parent = cast("Intent", parent)
            intent.decision_id = intent.parent.decision_id
        return cast("IntentRow", intent)

    def make_order(self, *, reserved_asset: str, reserved: Decimal, **values: Any) -> OrderRow:
        """Make an order with its reservation, not written yet."""
        order = Order(account=self.account, **values)
        Reservation(order=order, asset=reserved_asset, initial=reserved, remaining=reserved)
        return cast("OrderRow", order)

    def make_fill(self, **values: Any) -> FillRow:
        """Make a fill, not written yet."""
        return cast("FillRow", Fill(account=self.account, **values))

    def make_position(self, *, book_id: int, instrument_id: int) -> PositionRow:
        """Make an empty position, not written yet."""
        return cast("PositionRow", Position(book_id=book_id, instrument_id=instrument_id))

    def write(self, changes: Changes) -> None:
        """Write everything that changed, wake the trader and tell the browsers."""
        writing.write(self.account, self._pockets, changes, now=self.now)

    def _without_order(self, trade: TradeReport) -> TradeFacts:
        """Answer for a trade that a person made by hand; raise if it may be one of ours."""
        instrument = self._pair(trade.symbol)
        posted = self._is_posted(instrument, trade.trade_id)
        if not posted and trade.client_order_id is None:
            raise OwnerUnknown(f"Nobody here knows {instrument.symbol} order {trade.exchange_order_id}")
        name = parse_client_order_id(trade.client_order_id or "")
        if posted or name is None or not same_family(name.deploy, self.account.deploy):
            return TradeFacts(None, cast("InstrumentRow", instrument), None, is_posted=posted, newest=None)
        return self._of_lost_order(trade, name, instrument)

    def _pair(self, symbol: str) -> Instrument:
        if symbol not in self._pairs:
            named = Q(symbol=symbol) | Q(venue_symbol=symbol)
            self._pairs[symbol] = Instrument.objects.get(named, market=self.account.market_id)
        return self._pairs[symbol]

    def _is_posted(self, instrument: Instrument, trade_id: int) -> bool:
        """Say whether a trade was posted before this transaction; the first answer covers all trades asked for so far."""
        known, posted = self._posted.get(instrument.pk, (frozenset(), frozenset()))
        if trade_id not in known:
            known = frozenset(number for _, _, number in self._asked) | {trade_id}
            rows = Fill.objects.filter(account=self.account, instrument=instrument, trade_id__in=known)
            posted = frozenset(rows.values_list("trade_id", flat=True))
            self._posted[instrument.pk] = (known, posted)
        return trade_id in posted

    def _of_lost_order(self, trade: TradeReport, name: ClientOrderId, instrument: Instrument) -> TradeFacts:
        """Answer for a trade of an order that these books have lost: only while they are reopened after a restore."""
        is_earlier_life = generation(name.deploy) < generation(self.account.deploy)
        book = Book.objects.filter(account=self.account, number=name.book_number).first()
        if self.account.state_reason != RESTORED or not is_earlier_life or book is None:
            raise OwnerUnknown(f"No order {trade.client_order_id} is on record, yet the name is ours")
        newest = Fill.objects.filter(book=book, instrument=instrument).order_by("-traded_at", "-trade_id").first()
        return TradeFacts(
            order=None,
            instrument=cast("InstrumentRow", instrument),
            position=cast("PositionRow | None", Position.objects.filter(book=book, instrument=instrument).first()),
            is_posted=False,
            newest=None if newest is None else (newest.traded_at, newest.trade_id),
            heir_id=book.pk,
        )


def _asking(trade: TradeReport) -> tuple[str | None, str, int]:
    return trade.client_order_id, trade.exchange_order_id, trade.trade_id


def _after(trade: TradeReport) -> Q:
    return Q(traded_at__gt=trade.traded_at) | Q(traded_at=trade.traded_at, trade_id__gt=trade.trade_id)
