"""How far a bot's fills lie from what its backtest assumes (P7): the newest ones, each beside the model's price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db.models import QuerySet

from bots.models import Bot, BotDrift
from marketdata.candles import floor_to_interval, milliseconds, moment
from marketdata.models import Candle, Instrument
from portfolio.models import Fill, Intent, Order
from trading.bars import interval_milliseconds
from trading.desk.rows import LIMIT_MAKER, STOP_LOSS
from trading.drift import DriftFigures, Reference, Shortfall, drift_by_day, drift_figures, model_price, shortfall

# An account may have millions of fills; these are one look into an index.
FILLS_MAX: Final = 1_000
SPAN: Final = timedelta(days=30)
# Why an order has no price to be compared with.
ASKED_BY_PERSON: Final = "asked for by a person"
BETWEEN_CANDLES: Final = "sent between two candles"
CANDLE_MISSING: Final = "its candle is missing"
CANDLE_OPEN: Final = "its candle has not closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What an order was filled at in all, and what the model says of it."""

    order_id: int
    symbol: str
    side: str
    type: str
    reason: str
    traded_at: datetime
    fills: int
    quantity: Decimal
    amount: Decimal
    tick_size: Decimal
    model: Decimal | None = None
    shortfall: Shortfall | None = None
    # Why there is no price of the model's.
    gap: str = ""

    @property
    def price(self) -> Decimal:
        """Return the mean price; a quotient may have no end."""
        return round(self.amount / self.quantity, 12)


@dataclass(frozen=True, slots=True)
class Drift:
    """A bot's newest executions, newest first, and what they say together."""

    executions: Sequence[Execution]
    figures: DriftFigures
    days: dict[date, DriftFigures]
    last_fill_id: int

    @property
    def waiting(self) -> int:
        """Return how many wait for the close of the candle that tells the model's price."""
        return sum(one.gap == CANDLE_OPEN for one in self.executions)

    @property
    def gaps(self) -> dict[str, int]:
        """Count the executions without a price of the model's, by why."""
        found: dict[str, int] = {}
        for one in self.executions:
            if one.gap:
                found[one.gap] = found.get(one.gap, 0) + 1
        return found


def drift(bot: Bot, *, fills_max: int = FILLS_MAX) -> Drift:
    """Compare a bot's newest fills of the last thirty days of market time with what its backtest assumes of them."""
    fills = _newest(bot, fills_max)
    executions = _beside_the_model(bot, _by_order(fills, is_cut=len(fills) == fills_max))
    measured = [one.shortfall for one in executions if one.shortfall is not None]
    newest = max((fill.pk for fill in fills), default=0)
    return Drift(executions, drift_figures(measured), drift_by_day(measured), newest)


def open_drifts() -> QuerySet[BotDrift]:
    """Return the alarms that last, the newest first."""
    return BotDrift.objects.filter(alarmed_at__isnull=False, cleared_at=None).select_related("bot").order_by("-alarmed_at")


def bots_to_look_at() -> list[int]:
    """List the bots of enabled accounts with something new to compare, or with an alarm that lasts."""
    found = []
    seen = {row.bot_id: row for row in BotDrift.objects.all()}
    for bot_id, book_id in Bot.objects.filter(book__account__is_enabled=True).order_by("id").values_list("id", "book_id"):
        row = seen.get(bot_id)
        newest = Fill.objects.filter(book=book_id).order_by("-id").values_list("id", flat=True).first()
        is_news = newest is not None and (row is None or row.last_fill_id != newest or row.waiting > 0)
        if is_news or (row is not None and row.is_alarmed):
            found.append(bot_id)
    return found


def _newest(bot: Bot, count: int) -> list[Fill]:
    """Return the newest fills, newest first."""
    until = bot.book.account.synced_through_at
    if until is None:
        return []
    rows = Fill.objects.filter(book=bot.book_id, traded_at__gte=until - SPAN, order__isnull=False)
    return list(rows.select_related("order__intent", "instrument__market").order_by("-traded_at")[:count])


def _by_order(fills: Sequence[Fill], *, is_cut: bool) -> list[list[Fill]]:
    """Group fills by their order, newest first; the oldest may be a part of one only, and is left out then."""
    groups: dict[int | None, list[Fill]] = {}
    for fill in fills:
        groups.setdefault(fill.order_id, []).append(fill)
    found = list(groups.values())
    return found[:-1] if is_cut else found


def _beside_the_model(bot: Bot, groups: Sequence[list[Fill]]) -> list[Execution]:
    wanted = [_met_at(bot, group) for group in groups]
    opens = _opens(bot, groups, wanted)
    return [
        _execution(bot, group, at, None if at is None else opens.get((group[0].instrument_id, at)))
        for group, at in zip(groups, wanted, strict=True)
    ]


def _met_at(bot: Bot, group: list[Fill]) -> datetime | None:
    """Return when the candle opened that an order met: a stop the one it was touched in, a market order the next one."""
    order = _order(group)
    if order.type == STOP_LOSS:
        return moment(floor_to_interval(milliseconds(min(fill.traded_at for fill in group)), bot.interval))
    at: datetime = order.intent.market_at
    return at if milliseconds(at) % interval_milliseconds(bot.interval) == 0 else None


def _opens(bot: Bot, groups: Sequence[list[Fill]], wanted: Sequence[datetime | None]) -> dict[tuple[int, datetime], float]:
    """Read what the candles opened at, all in one query."""
    instruments = {group[0].instrument_id for group in groups}
    moments = {at for at in wanted if at is not None}
    rows = Candle.objects.filter(instrument_id__in=instruments, interval=bot.interval, open_at__in=moments)
    return {(number, at): price for number, at, price in rows.values_list("instrument_id", "open_at", "open")}


def _execution(bot: Bot, group: list[Fill], at: datetime | None, opened: float | None) -> Execution:
    order, instrument = _order(group), group[0].instrument
    model = _model(order, instrument, at, opened)
    gap = _gap(bot, order.intent.kind, at, has_model=model is not None)
    traded_at = min(fill.traded_at for fill in group)
    quantity = sum((fill.quantity for fill in group), Decimal(0))
    amount = sum((fill.quote_quantity for fill in group), Decimal(0))
    measured = None
    if model is not None and not gap:
        measured = shortfall(at=traded_at, side=order.side, quantity=quantity, amount=amount, model=model)
    return Execution(
        order_id=order.pk,
        symbol=instrument.symbol,
        side=order.side,
        type=order.type,
        reason=order.intent.reason,
        traded_at=traded_at,
        fills=len(group),
        quantity=quantity,
        amount=amount,
        tick_size=instrument.tick_size,
        model=None if gap else model,
        shortfall=measured,
        gap=gap,
    )


def _model(order: Order, instrument: Instrument, at: datetime | None, opened: float | None) -> Decimal | None:
    reference, level = Reference.OPEN, None
    if order.type == LIMIT_MAKER:
        reference, level = Reference.LIMIT, order.price
    elif order.type == STOP_LOSS:
        reference, level = Reference.STOP, order.stop_price
        if opened is not None and at is not None and order.market_at > at:
            # It was sent during this candle: the open was before it.
            opened = float(order.stop_price)
    return model_price(
        reference=reference,
        side=order.side,
        level=level,
        opened=opened,
        tick_size=instrument.tick_size,
        half_spread_ppm=instrument.market.half_spread_ppm,
    )


def _gap(bot: Bot, kind: str, at: datetime | None, *, has_model: bool) -> str:
    if kind == Intent.Kind.FLATTEN:
        return ASKED_BY_PERSON
    if has_model:
        return ""
    if at is None:
        return BETWEEN_CANDLES
    closes_at = at + timedelta(milliseconds=interval_milliseconds(bot.interval))
    known = bot.book.account.synced_through_at
    return CANDLE_OPEN if known is None or closes_at > known else CANDLE_MISSING


def _order(group: list[Fill]) -> Order:
    order = group[0].order
    assert order is not None
    return order
