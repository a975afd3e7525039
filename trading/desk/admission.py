"""Say whether an intent may become an order now, and if not, which rule refuses it."""

from __future__ import annotations

from decimal import Decimal

from trading.desk import reservations
from trading.desk.desk import Desk
from trading.desk.prevention import others
from trading.desk.refusals import Refusal
from trading.desk.risk_rules import risk_refusal
from trading.desk.rows import ENTER, ENTRIES_HALTED, HALTED, IMMEDIATE_OR_CANCEL, MARKET, InstrumentRow, IntentRow, OrderRow
from trading.desk.turns import BOT_NOT_ACTIVE, turn_refusal
from trading.ledger import UNIT, ZERO, floor_to, plain
from trading.proposals import COLLAR
from trading.risk import UNPRICED, room_for_entries


def entry_refusal(desk: Desk, intent: IntentRow) -> Refusal | None:
    """Check everything that stands before new capital at risk or a resting order."""
    return (
        standing_refusal(desk, intent)
        or price_refusal(desk, intent)
        or rate_refusal(desk, intent)
        or filter_refusal(desk.instrument(intent.instrument_id), lots=intent.lots, price=intent.limit_price)
        or _order_count_refusal(desk, intent)
        or risk_refusal(desk, intent)
        or _cap_refusal(desk, intent)
        or _capital_refusal(desk, intent)
        or _crossing_refusal(desk, intent)
    )


def standing_refusal(desk: Desk, intent: IntentRow) -> Refusal | None:
    """Check the state of account and book; resting sells are refused by a kill alone."""
    account, book = desk.account, desk.books[intent.book_id]
    if account.is_killed:
        return Refusal("KILL_ACTIVE", {"reason": account.killed_reason})
    if intent.side == "sell":
        return None
    if account.state in (ENTRIES_HALTED, HALTED):
        return Refusal(account.state_reason or "ACCOUNT_HALTED", {"account_state": account.state})
    if book.is_halted:
        return Refusal(book.halt_reason or "BOOK_HALTED", {"book": book.name})
    if not book.is_active:
        return Refusal(BOT_NOT_ACTIVE, {"book": book.name})
    return turn_refusal(desk, intent.book_id)


def price_refusal(desk: Desk, intent: IntentRow) -> Refusal | None:
    """Refuse to buy by prices that the market's feed does not trust (M01); what is held may always be sold."""
    trouble = desk.price_trouble(intent.instrument_id) if intent.side == "buy" else ""
    return Refusal(UNPRICED, {"prices": trouble}) if trouble else None


def rate_refusal(desk: Desk, intent: IntentRow) -> Refusal | None:
    """Check how many entries the book has had in the last minute of market time."""
    limit = desk.books[intent.book_id].orders_per_minute
    count = desk.entries_last_minute(intent.book_id)
    if count >= limit:
        return Refusal("RISK_ORDER_RATE", {"orders_last_minute": count, "limit": limit})
    return None


def filter_refusal(instrument: InstrumentRow, *, lots: int, price: Decimal | None) -> Refusal | None:
    """Check the exchange's filters as they are stored now (I-16)."""
    quantity = lots * instrument.lot_size
    if lots <= 0 or not instrument.quantity_min <= quantity <= instrument.quantity_max:
        limits = {"quantity_min": plain(instrument.quantity_min), "quantity_max": plain(instrument.quantity_max)}
        return Refusal("FILTER_LOT_SIZE", {"quantity": plain(quantity)} | limits)
    if price is None:
        return None
    if price <= ZERO or price % instrument.tick_size != ZERO:
        return Refusal("FILTER_PRICE", {"price": plain(price), "tick_size": plain(instrument.tick_size)})
    if quantity * price < instrument.notional_min:
        return Refusal(
            "FILTER_MIN_NOTIONAL", {"notional": plain(quantity * price), "notional_min": plain(instrument.notional_min)}
        )
    return None


def _order_count_refusal(desk: Desk, intent: IntentRow) -> Refusal | None:
    # Slots are shared by all books of the account, like capital.
    limit = room_for_entries(desk.instrument(intent.instrument_id).order_count_max)
    count = sum(order.instrument_id == intent.instrument_id for order in desk.live)
    if count >= limit:
        return Refusal("FILTER_MAX_NUM_ORDERS", {"orders": count, "limit": limit})
    return None


def _cap_refusal(desk: Desk, intent: IntentRow) -> Refusal | None:
    """Check the position cap; orders in flight count at full size at once (I-32)."""
    if intent.side == "sell":
        return None
    assert intent.expected_price is not None
    book = desk.books[intent.book_id]
    instrument = desk.instrument(intent.instrument_id)
    position = desk.position(intent.book_id, intent.instrument_id)
    price = intent.expected_price
    exposure = (position.quantity if position else ZERO) * price + intent.lots * instrument.lot_size * price
    for order in desk.live_of(intent.book_id, intent.instrument_id, side="buy"):
        assert order.intent.expected_price is not None
        exposure += (order.quantity - order.filled_quantity) * order.intent.expected_price
    cap = book.base_equity * book.position_cap_percent / 100
    # Compared in whole units: a size computed in floats may be a hair above the cap it was computed from.
    if floor_to(exposure, UNIT) > cap:
        return Refusal("RISK_POSITION_CAP", {"exposure": plain(floor_to(exposure, UNIT)), "cap": plain(floor_to(cap, UNIT))})
    return None


def _capital_refusal(desk: Desk, intent: IntentRow) -> Refusal | None:
    instrument = desk.instrument(intent.instrument_id)
    asset, needed = reservations.opening(
        instrument,
        side=intent.side,
        quantity=intent.lots * instrument.lot_size,
        price=intent.limit_price,
        fee_ppm=desk.account.buy_fee_ppm,
    )
    free = desk.available(intent.book_id, asset)
    # What a smaller share still takes out of the book is not spent again while it comes free.
    leaving = max(-desk.books[intent.book_id].pending, ZERO) if intent.side == "buy" else ZERO
    if needed > free - leaving:
        facts = {"asset": asset, "needed": plain(needed), "free": plain(free)}
        return Refusal("CAPITAL_INSUFFICIENT", facts | ({"leaving_the_book": plain(leaving)} if leaving else {}))
    return None


def price_inside_rivals(desk: Desk, intent: IntentRow) -> Decimal | None:
    """Return the highest price at which an entry cannot reach another book's resting sell (table 2.4).

    That is the intent's own limit, or one tick under the nearest rival as long as it still covers the price the entry
    was sized for; a limit below that could not fill, so the entry keeps its own and is refused.
    """
    limit: Decimal | None = intent.limit_price
    if intent.kind != ENTER or limit is None:
        return limit
    asks = [order.price for order in _rivals(desk, intent) if order.price is not None]
    if not asks:
        return limit
    inside: Decimal = min(asks) - desk.instrument(intent.instrument_id).tick_size
    return inside if expected_price(intent.kind, limit) <= inside < limit else limit


def _crossing_refusal(desk: Desk, intent: IntentRow) -> Refusal | None:
    """Refuse an order that could trade with another book's order (I-39)."""
    assert intent.limit_price is not None
    for order in _rivals(desk, intent):
        reaches = order.price is None or (
            intent.limit_price >= order.price if intent.side == "buy" else intent.limit_price <= order.price
        )
        if reaches:
            return Refusal("CONFLICT_WOULD_CROSS", _crossing_facts(desk, intent, order))
    return None


def _crossing_facts(desk: Desk, intent: IntentRow, rival: OrderRow) -> dict[str, str]:
    facts = {"book": desk.books[rival.book_id].name, "its_order": rival.client_order_id}
    if rival.price is None:
        return facts | {"its_price": "market"}
    tick = desk.instrument(intent.instrument_id).tick_size
    accepted = rival.price - tick if intent.side == "buy" else rival.price + tick
    return facts | {"its_price": plain(rival.price), "limit_accepted": plain(accepted)}


def _rivals(desk: Desk, intent: IntentRow) -> list[OrderRow]:
    """Return the orders of other books that this one could meet.

    Two takers never meet, for neither rests; a stop rests nowhere before it triggers.
    """
    side = "sell" if intent.side == "buy" else "buy"
    rivals = others(desk.live, book_id=intent.book_id, instrument_id=intent.instrument_id, side=side)
    return [order for order in rivals if not (intent.kind == ENTER and takes(order))]


def expected_price(kind: str, limit: Decimal) -> Decimal:
    """Return the price a buy was sized for: an entry's limit is that price plus the collar."""
    return limit // (COLLAR * UNIT) * UNIT if kind == ENTER else limit


def takes(order: OrderRow) -> bool:
    """Say whether an order takes at once and never rests."""
    return order.type == MARKET or order.time_in_force == IMMEDIATE_OR_CANCEL
