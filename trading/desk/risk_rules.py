"""Refuse an entry that risks more than account or book may lose today, or that looks like a machine gone wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from decimal import Decimal

from trading import risk
from trading.desk.desk import Desk
from trading.desk.dust import loss_floor
from trading.desk.prevention import others
from trading.desk.refusals import Refusal
from trading.desk.rows import IntentRow, OrderRow, is_stop
from trading.ledger import ZERO, Pocket, plain
from trading.risk import Exposure, Limits, RiskRoom, Standing, exchange_caps, worst_case, worst_of
from trading.settlement import EXTERNAL_FEE, EXTERNAL_FLOW, EXTERNAL_TRADE, SUSPENSE

# What is the outside world's, or nobody's yet, is in no equity.
_NOT_OURS = frozenset((EXTERNAL_FEE, EXTERNAL_FLOW, EXTERNAL_TRADE, SUSPENSE))


def risk_refusal(desk: Desk, intent: IntentRow) -> Refusal | None:
    """Check an entry against every limit of its book and its account; a bot may always sell what it holds."""
    room: RiskRoom | None = desk.risk
    if room is None or intent.side == "sell":
        return None
    return (
        _latch_refusal(room, intent)
        or _liquidity_refusal(room, intent)
        or _rate_refusal(desk, room, intent)
        or _value_refusal(desk, room, intent)
        or _collar_refusal(desk, room, intent)
        or _repeat_refusal(room, intent)
        or _slot_refusal(desk, intent)
        or _opposite_refusal(desk, room, intent)
        or _loss_refusal(desk, room, intent)
    )


def limits_of(room: RiskRoom, book_id: int) -> Limits:
    """Return the limits of a book: its own where it has any, the account's else."""
    return room.book_limits.get(book_id, room.limits)


def standings(desk: Desk, room: RiskRoom, keys: Collection[int | None] | None = None) -> dict[int | None, Standing]:
    """Return where the account (None) and its books stand today, everything in flight counted at full size (I-32)."""
    equities, unpriced = _equities(desk, room)
    open_now = exposures(desk)
    found: dict[int | None, Standing] = {}
    for key in (None, *desk.books) if keys is None else keys:
        limits = room.limits if key is None else limits_of(room, key)
        equity, flows = equities.get(key, ZERO), room.net_flows.get(key, ZERO)
        missing = {asset for book_id, asset in unpriced if key in (None, book_id)}
        found[key] = Standing(
            limits=limits,
            start=room.starts.get(key, risk.DayStart(equity, flows)),
            equity=equity,
            net_flows=flows,
            worst_open=worst_of(open_now, limits, book_id=key),
            floor=loss_floor(desk, desk.books if key is None else (key,)),
            unpriced=tuple(sorted(missing)),
        )
    return found


def exposures(desk: Desk) -> list[Exposure]:
    """List what may lose: holdings at their marks, each part to its live stop, and buys on their way at their limits."""
    stops: defaultdict[tuple[int, int], list[OrderRow]] = defaultdict(list)
    for order in desk.live:
        if is_stop(order) and order.cancel_requested_at is None:
            stops[order.book_id, order.instrument_id].append(order)
    found = []
    for position in desk.positions:
        book_id, mark = position.book_id, desk.mark(position.instrument_id)
        if position.quantity <= ZERO or mark is None:
            continue
        left = position.quantity
        for order in stops[book_id, position.instrument_id]:
            covered = min(left, order.quantity - order.filled_quantity)
            found.append(Exposure(book_id, position.instrument_id, covered, mark, order.stop_price))
            left -= covered
        found.append(Exposure(book_id, position.instrument_id, left, mark))
    for order in desk.live:
        if order.side == "buy" and order.price is not None:
            left = order.quantity - order.filled_quantity
            found.append(Exposure(order.book_id, order.instrument_id, left, order.price, order.intent.stop_price))
    return found


def _equities(desk: Desk, room: RiskRoom) -> tuple[dict[int | None, Decimal], set[tuple[int, str]]]:
    """Value every pocket of ours; what a book holds and nobody prices is named."""
    found: dict[int | None, Decimal] = {None: ZERO}
    unpriced: set[tuple[int, str]] = set()
    for pocket, balance in desk.journal.balances().items():
        if pocket.kind in _NOT_OURS or balance == ZERO:
            continue
        price = room.prices.get(pocket.asset)
        if price is None:
            if pocket.book_id is not None:
                unpriced.add((pocket.book_id, pocket.asset))
            continue
        found[None] += balance * price
        if pocket.book_id is not None:
            found[pocket.book_id] = found.get(pocket.book_id, ZERO) + balance * price
    return found, unpriced


def _latch_refusal(room: RiskRoom, intent: IntentRow) -> Refusal | None:
    for key, whose in ((None, "account"), (intent.book_id, "book")):
        if key in room.latches:
            return Refusal(room.latches[key], {"latched": whose, "released_by": "an administrator, with a reason"})
    return None


def _liquidity_refusal(room: RiskRoom, intent: IntentRow) -> Refusal | None:
    """Refuse to buy where too little is traded, or nobody knows how much (S06)."""
    limit = limits_of(room, intent.book_id).volume_day_min
    volume = room.volumes.get(intent.instrument_id)
    if limit == ZERO or (volume is not None and volume >= limit):
        return None
    return Refusal(risk.LIQUIDITY, {"volume_day": "unknown" if volume is None else plain(volume), "limit": plain(limit)})


def _rate_refusal(desk: Desk, room: RiskRoom, intent: IntentRow) -> Refusal | None:
    count, limit = sum(desk.entries_last_minute(book_id) for book_id in desk.books), room.limits.orders_per_minute
    if count >= limit:
        return Refusal(risk.ORDER_RATE, {"orders_last_minute": count, "limit": limit, "of": "account"})
    count, limit = desk.entries_last_minute(intent.book_id), limits_of(room, intent.book_id).orders_per_minute
    if count >= limit:
        return Refusal(risk.ORDER_RATE, {"orders_last_minute": count, "limit": limit, "of": "book"})
    return None


def _value_refusal(desk: Desk, room: RiskRoom, intent: IntentRow) -> Refusal | None:
    exposure, limit = _exposure(desk, intent), limits_of(room, intent.book_id).order_value_max
    value = exposure.quantity * exposure.price
    if value > limit:
        return Refusal(risk.ORDER_VALUE, {"value": plain(value), "limit": plain(limit)})
    return None


def _collar_refusal(desk: Desk, room: RiskRoom, intent: IntentRow) -> Refusal | None:
    """Hold the price against two sources that fail in different ways: the mark and the last closed candle."""
    sources: dict[str, Decimal] = {}
    if (mark := desk.mark(intent.instrument_id)) is not None:
        sources["mark"] = mark
    if (close := room.closes.get(intent.instrument_id)) is not None:
        sources["close"] = close
    if not sources or min(sources.values()) <= ZERO:
        return Refusal(risk.UNPRICED, {"missing": "mark and close"})
    # What an entry was sized for; of a resting order that is its own price.
    assert intent.expected_price is not None
    breach = risk.collar_breach(
        intent.expected_price, sources=sources, collar_percent=limits_of(room, intent.book_id).collar_percent
    )
    return None if breach is None else Refusal(risk.PRICE_COLLAR, _plain(breach))


def _repeat_refusal(room: RiskRoom, intent: IntentRow) -> Refusal | None:
    limit = limits_of(room, intent.book_id).repeats_max
    count = room.barren.get((intent.book_id, intent.instrument_id), 0)
    if count >= limit:
        return Refusal(risk.REPEATED_EXECUTION, {"entries_without_position": count, "limit": limit})
    return None


def _slot_refusal(desk: Desk, intent: IntentRow) -> Refusal | None:
    """Check what the exchange lets one account have at once, counted for all books before anything is sent (E24)."""
    instrument = desk.instrument(intent.instrument_id)
    caps = exchange_caps(instrument.filters)
    if caps.orders is not None and len(desk.live) >= (limit := risk.room_for_entries(caps.orders)):
        return Refusal("FILTER_EXCHANGE_MAX_NUM_ORDERS", {"orders": len(desk.live), "limit": limit})
    if caps.stops is not None and intent.stop_price is not None:
        books = _books_with_stops(desk, intent.instrument_id) | {intent.book_id}
        if len(books) > caps.stops:
            return Refusal("FILTER_MAX_NUM_ALGO_ORDERS", {"stops": len(books) - 1, "limit": caps.stops})
    if caps.position is not None:
        held = sum((amount for pocket, amount in desk.journal.balances().items() if _is_held(pocket, instrument.base)), ZERO)
        coming = sum((row.quantity for row in _buys(desk, intent.instrument_id)), ZERO)
        wanted = held + coming + intent.lots * instrument.lot_size
        if wanted > caps.position:
            return Refusal("FILTER_MAX_POSITION", {"position": plain(wanted), "limit": plain(caps.position)})
    return None


def _books_with_stops(desk: Desk, instrument_id: int) -> set[int]:
    """Name the books that have a stop in an instrument, wait for one, or will need one when their entry fills."""
    orders = (row for row in desk.live if row.instrument_id == instrument_id)
    found = {row.book_id for row in orders if is_stop(row) or (row.side == "buy" and row.intent.stop_price is not None)}
    return found | {row.book_id for row in desk.waiting if row.instrument_id == instrument_id and row.stop_price is not None}


def _opposite_refusal(desk: Desk, room: RiskRoom, intent: IntentRow) -> Refusal | None:
    """Refuse to buy what another bot of the account is selling, where the operator wants that (table 2.4)."""
    if room.limits.opposite_positions != risk.REFUSE:
        return None
    rivals = others(desk.live, book_id=intent.book_id, instrument_id=intent.instrument_id, side="sell")
    sellers = {order.book_id for order in rivals}
    sellers |= {book for book, instrument in room.sold_lately if instrument == intent.instrument_id and book != intent.book_id}
    if not sellers:
        return None
    return Refusal(risk.OPPOSITE_POSITION, {"books": sorted(desk.books[book].name for book in sellers), "policy": risk.REFUSE})


def _loss_refusal(desk: Desk, room: RiskRoom, intent: IntentRow) -> Refusal | None:
    """Lost today + the worst case of what is open + the worst case of this entry <= cap, for book and account."""
    all_standings, exposure = standings(desk, room, (intent.book_id, None)), _exposure(desk, intent)
    for key, whose in ((intent.book_id, "book"), (None, "account")):
        standing = all_standings[key]
        if standing.unpriced:
            return Refusal(risk.UNPRICED, {"unpriced": list(standing.unpriced), "of": whose})
        worst = worst_case(exposure, standing.limits.fall_percent)
        if not standing.allows(worst):
            return Refusal(risk.DAILY_LOSS_CAP, {"of": whose} | _plain(_loss_facts(standing, worst)))
    return None


def _loss_facts(standing: Standing, worst: Decimal) -> dict[str, Decimal]:
    return {
        "lost_today": standing.loss,
        "worst_case_open": standing.worst_open,
        "worst_case_order": worst,
        "cap": standing.soft_cap,
        "left": standing.left,
    }


def _exposure(desk: Desk, intent: IntentRow) -> Exposure:
    assert intent.limit_price is not None
    quantity = intent.lots * desk.instrument(intent.instrument_id).lot_size
    return Exposure(intent.book_id, intent.instrument_id, quantity, intent.limit_price, intent.stop_price)


def _buys(desk: Desk, instrument_id: int) -> list[Exposure]:
    return [
        Exposure(row.book_id, row.instrument_id, row.quantity - row.filled_quantity, row.price or ZERO)
        for row in desk.live
        if row.instrument_id == instrument_id and row.side == "buy"
    ]


def _is_held(pocket: Pocket, asset: str) -> bool:
    return pocket.asset == asset and pocket.kind not in _NOT_OURS


def _plain(facts: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: plain(value) for name, value in facts.items()}
