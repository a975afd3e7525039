"""What became of pairs: both legs, what undid the rest of one, and what the pair brought."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum

from portfolio.models import Fill, Order, Pair
from trading.ledger import UNIT, ZERO, exactly
from trading.strategy import Reason

ON_ITS_WAY: Final = "on its way"
BOTH_LEGS: Final = "both legs"
PARTIAL: Final = "partial"
ONE_LEG: Final = "one leg"
NEITHER: Final = "neither"
# One for each minute and side at most.
PAIRS_A_DAY_MAX: Final = 2_880
# Every other intent of a pair undoes what a leg left over.
LEG_REASONS: Final = (Reason.SIGNAL_ENTRY_PAIR.name, Reason.SIGNAL_EXIT_PAIR.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOrder:
    """One order of a pair; `fees` is what of its fees was not taken in the coin, in quote."""

    order_id: int
    account_id: int
    account: str
    book_id: int
    symbol: str
    side: str
    reason: str
    status: str
    quantity: Decimal
    filled: Decimal
    quote: Decimal
    average_price: Decimal | None
    fees: Decimal
    coin_fees: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TradedPair:
    """A pair with its legs, the purchase first, and with what was ordered later to undo the rest of one."""

    pair_id: int
    number: int
    market_at: datetime
    bought_id: int
    sold_id: int
    legs: tuple[PairOrder, ...]
    mends: tuple[PairOrder, ...]
    residual: Decimal
    result: Decimal
    state: str


@dataclass(frozen=True, slots=True)
class PairPage:
    """Some pairs, newest first, and where the next page begins."""

    items: Sequence[TradedPair]
    next_cursor: str | None


def pairs_of(book_ids: Collection[int], *, cursor: int | None = None, limit: int) -> PairPage:
    """Return the newest pairs of books, in three statements however many there are.

    The residual is in coins: what was bought less what was sold and less the fees taken in the coin, mends included. The
    result is in quote: what was received less what was paid and less all other fees, with the residual valued at the
    average price of the purchase (where it bought nothing, of the sale). Where one mend undoes what several pairs left
    over it counts for the newest of them: their results are exact together.
    """
    found = _newest([book_ids], cursor, limit + 1)
    items = _told(found[:limit])
    return PairPage(items, str(items[-1].pair_id) if len(found) > limit else None)


def one_leg_losses(book_ids: Collection[int], *, since: datetime) -> Decimal:
    """Add up what pairs of books since a market time have lost of which one leg was filled further than the other, in quote.

    What such a pair left over counts at the price it was bought for (`pairs_of`) until it is undone. Gains count nothing.
    """
    of_day = [row for row in _newest([book_ids], None, PAIRS_A_DAY_MAX) if row.market_at >= since]
    behind = Order.objects.filter(intent__pair=OuterRef("pk"), intent__reason__in=LEG_REASONS, filled_quantity__lt=F("quantity"))
    uneven = Pair.objects.filter(Exists(behind), pk__in=[row.pk for row in of_day])
    told = [pair for pair in _told(list(uneven)) if len({leg.filled for leg in pair.legs}) > 1]
    return sum((max(ZERO, -pair.result) for pair in told), ZERO)


def newest_pairs(couples: Sequence[Collection[int]], *, limit: int) -> list[Sequence[TradedPair]]:
    """Return the newest pairs of each of several couples of books, in three statements for all of them together."""
    told = _told(_newest(couples, None, limit))
    return [[pair for pair in told if {pair.bought_id, pair.sold_id} & set(books)][:limit] for books in couples]


def _newest(couples: Sequence[Collection[int]], cursor: int | None, limit: int) -> list[Pair]:
    rows = Pair.objects.all() if cursor is None else Pair.objects.filter(pk__lt=cursor)
    # One look into an index for each book and side, however many pairs the others have.
    looks: list[QuerySet[Pair]] = [
        rows.filter(**{side: book_id}).order_by("-pk")[:limit]
        for books in couples
        for book_id in sorted(books)
        for side in ("bought", "sold")
    ]
    if not looks:
        return []
    found = looks[0].union(*looks[1:]).order_by("-pk")
    return list(found[:limit] if len(couples) == 1 else found)


class _Fees(NamedTuple):
    coins: Decimal = ZERO
    quote: Decimal = ZERO


@exactly
def _told(rows: Sequence[Pair]) -> list[TradedPair]:
    orders: dict[int, list[Order]] = defaultdict(list)
    wanted = Order.objects.filter(intent__pair__in=[row.pk for row in rows])
    for order in wanted.select_related("account", "instrument", "intent").order_by("pk"):
        assert order.intent.pair_id is not None
        orders[order.intent.pair_id].append(order)
    fees = _fees([order.pk for mine in orders.values() for order in mine])
    return [_tell(row, orders[row.pk], fees) for row in rows]


def _fees(order_ids: Sequence[int]) -> dict[int, _Fees]:
    in_coins = Q(fee_asset=F("instrument__base"))
    of_orders = Fill.objects.filter(order__in=order_ids).values("order").order_by()
    sums: Iterable[Any] = of_orders.annotate(coins=Sum("fee", filter=in_coins), other=Sum("fee_quote", filter=~in_coins))
    return {row["order"]: _Fees(row["coins"] or ZERO, row["other"] or ZERO) for row in sums}


def _tell(row: Pair, orders: Sequence[Order], fees: Mapping[int, _Fees]) -> TradedPair:
    told = [_order(order, fees.get(order.pk, _Fees())) for order in orders]
    legs = tuple(sorted((order for order in told if order.reason in LEG_REASONS), key=lambda leg: leg.side))
    sign = {"buy": 1, "sell": -1}
    residual = sum((sign[one.side] * one.filled - one.coin_fees for one in told), ZERO)
    received = sum((-sign[one.side] * one.quote - one.fees for one in told), ZERO)
    price = next((leg.average_price for leg in legs if leg.average_price is not None), ZERO)
    return TradedPair(
        pair_id=row.pk,
        number=row.number,
        market_at=row.market_at,
        bought_id=row.bought_id,
        sold_id=row.sold_id,
        legs=legs,
        mends=tuple(order for order in told if order.reason not in LEG_REASONS),
        residual=residual,
        result=received + residual * price,
        state=_state(told, legs),
    )


def _order(order: Order, fees: _Fees) -> PairOrder:
    filled = order.filled_quantity
    return PairOrder(
        order_id=order.pk,
        account_id=order.account_id,
        account=order.account.name,
        book_id=order.book_id,
        symbol=order.instrument.symbol,
        side=order.side,
        reason=order.intent.reason,
        status=order.status,
        quantity=order.quantity,
        filled=filled,
        quote=order.filled_quote,
        average_price=order.filled_quote // (filled * UNIT) * UNIT if filled else None,
        fees=fees.quote,
        coin_fees=fees.coins,
    )


def _state(orders: Sequence[PairOrder], legs: Sequence[PairOrder]) -> str:
    if any(order.status in Order.LIVE for order in orders):
        return ON_ITS_WAY
    if all(leg.filled == leg.quantity for leg in legs):
        return BOTH_LEGS
    return (NEITHER, ONE_LEG, PARTIAL)[sum(1 for leg in legs if leg.filled)]
