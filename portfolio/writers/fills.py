"""Post a trade: once, whatever its source, with its legs, its reservation and its position (T4)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db.models import Q, QuerySet

from marketdata.models import Instrument, Mark
from portfolio.models import Account, Fill, Order, Position
from portfolio.writers import accounts, books, reservations
from portfolio.writers.ledger import Journal
from portfolio.writers.orders import ORDER_ADOPTED, end_if_complete
from trading import order_status
from trading.ledger import ZERO, exactly, plain, worst_case
from trading.orders import TradeReport, parse_client_order_id
from trading.positions import FillFact, PositionFold, apply_fill, fold
from trading.settlement import Settlement, Trade, settle


class OwnerUnknown(Exception):
    """Raised when a trade names an order by the exchange's number alone and no order of ours has it yet."""


@exactly
def post_fill(account: Account, trade: TradeReport, *, now: datetime) -> Fill | None:
    """Post a trade of the locked account; answer None when it is posted already (I-20).

    Raises OwnerUnknown when the caller must first read which client order id the trade's order carries.
    """
    order = _named_order(account, trade)
    instrument = order.instrument if order else _instrument(account, trade.symbol)
    if Fill.objects.filter(account=account, instrument=instrument, trade_id=trade.trade_id).exists():
        return None
    order = order or _numbered_order(account, instrument, trade)
    book_id = order.book_id if order else None
    journal = Journal(account, now=now, book_ids=() if book_id is None else (book_id,))
    settlement = settle(_terms(account, instrument, order, trade), journal.balance)
    header = journal.post(
        kind="fill",
        reference=f"{instrument.venue_symbol}:{trade.trade_id}",
        legs=settlement.legs,
        market_at=trade.traded_at,
        facts={"order": order.client_order_id if order else trade.client_order_id or ""},
    )
    journal.flush()
    fill = Fill(
        account=account,
        instrument=instrument,
        trade_id=trade.trade_id,
        order=order,
        book_id=book_id,
        side=trade.side,
        price=trade.price,
        quantity=trade.quantity,
        quote_quantity=trade.quote_quantity,
        fee=trade.fee,
        fee_asset=trade.fee_asset,
        fee_quote=settlement.fact.fee_quote,
        is_maker=trade.is_maker,
        traded_at=trade.traded_at,
        posted_at=now,
        ledger_transaction=header,
    )
    if book_id is not None:
        _fold(book_id, instrument, fill, settlement.fact)
    fill.save(force_insert=True)
    account.trades_posted += 1
    if order is not None:
        _count(account, order, trade, settlement, now=now)
    _raise_alarms(account, book_id, order, settlement, now=now)
    if book_id is not None:
        books.raise_versions([book_id])
    accounts.changed(account, "trades_posted")
    return fill


def _named_order(account: Account, trade: TradeReport) -> Order | None:
    """Find the order by the client order id that the trade carries."""
    if trade.client_order_id is None:
        return None
    order = _orders(account).filter(client_order_id=trade.client_order_id).first()
    if order is not None and trade.symbol not in (order.instrument.symbol, order.instrument.venue_symbol):
        raise OwnerUnknown(f"{trade.client_order_id} is an order in {order.instrument.symbol}, not in {trade.symbol}")
    return order


def _numbered_order(account: Account, instrument: Instrument, trade: TradeReport) -> Order | None:
    """Find the order by the exchange's number; None for a trade that a person made by hand."""
    if trade.client_order_id is not None:
        name = parse_client_order_id(trade.client_order_id)
        if name is not None and name.deploy == account.deploy:
            raise OwnerUnknown(f"No order {trade.client_order_id} is on record, yet the name is ours")
        return None
    order = _orders(account).filter(instrument=instrument, exchange_order_id=trade.exchange_order_id).first()
    if order is None:
        raise OwnerUnknown(f"Nobody here knows {instrument.symbol} order {trade.exchange_order_id}")
    return order


def _orders(account: Account) -> QuerySet[Order]:
    related = ("intent", "instrument", "reservation")
    return Order.objects.select_for_update(of=("self",)).select_related(*related).filter(account=account).order_by()


def _instrument(account: Account, symbol: str) -> Instrument:
    return Instrument.objects.get(Q(symbol=symbol) | Q(venue_symbol=symbol), market=account.market_id)


def _terms(account: Account, instrument: Instrument, order: Order | None, trade: TradeReport) -> Trade:
    reserved = reserved_after = ZERO
    if order is not None and order.status in order_status.LIVE:
        reserved = order.reservation.remaining
        filled = order.filled_quantity + trade.quantity
        reserved_after = worst_case(side=order.side, quantity=order.quantity, filled=filled, price=order.price)
    fee_mark = None
    if trade.fee and trade.fee_asset not in (instrument.base, instrument.quote):
        fee_mark = _fee_mark(account, trade.fee_asset, instrument.quote)
    return Trade(
        book_id=order.book_id if order else None,
        side=trade.side,
        base=instrument.base,
        quote=instrument.quote,
        quantity=trade.quantity,
        price=trade.price,
        quote_quantity=trade.quote_quantity,
        fee=trade.fee,
        fee_asset=trade.fee_asset,
        reserved=reserved,
        reserved_after=reserved_after,
        fee_mark=fee_mark,
    )


def _fee_mark(account: Account, asset: str, quote: str) -> Decimal | None:
    marks = Mark.objects.filter(instrument__market=account.market_id, instrument__base=asset, instrument__quote=quote)
    return marks.values_list("price", flat=True).first()


def _fold(book_id: int, instrument: Instrument, fill: Fill, fact: FillFact) -> None:
    """Fold the fill into the position in the order of trade time, not of arrival (I-21)."""
    position, _ = Position.objects.get_or_create(book_id=book_id, instrument=instrument)
    before = position.quantity
    if _is_late(fill):
        folded = _refold(fill, fact)
    else:
        folded, fill.realised = apply_fill(PositionFold(position.quantity, position.cost, position.realised, position.fees), fact)
    position.quantity, position.cost = folded.quantity, folded.cost
    position.realised, position.fees = folded.realised, folded.fees
    was_open, is_open = before >= instrument.lot_size, folded.quantity >= instrument.lot_size
    if is_open and not was_open:
        position.opened_at = fill.traded_at
    if not is_open:
        position.opened_at, position.stop_price, position.is_unprotected = None, None, False
    position.version += 1
    position.save()


def _is_late(fill: Fill) -> bool:
    newer = Q(traded_at__gt=fill.traded_at) | Q(traded_at=fill.traded_at, trade_id__gt=fill.trade_id)
    return Fill.objects.filter(newer, book=fill.book_id, instrument=fill.instrument).exists()


def _refold(late: Fill, late_fact: FillFact) -> PositionFold:
    """Fold the whole history again with the late fill in its place, and correct what later fills realised."""
    rows = list(Fill.objects.filter(book=late.book_id, instrument=late.instrument).select_related("instrument"))
    facts = {id(row): fact_of(row) for row in rows} | {id(late): late_fact}
    ordered = sorted([*rows, late], key=lambda row: (row.traded_at, row.trade_id))
    folded, realised = fold(facts[id(row)] for row in ordered)
    moved = []
    for row, gain in zip(ordered, realised, strict=True):
        if row.realised != gain:
            row.realised = gain
            if row is not late:
                moved.append(row)
    Fill.objects.bulk_update(moved, ["realised"])
    return folded


def fact_of(fill: Fill) -> FillFact:
    """Return what a stored fill did to its position."""
    base, quote = fill.quantity, fill.quote_quantity
    sign = 1 if fill.side == "buy" else -1
    if fill.fee_asset == fill.instrument.base and fill.side == "buy":
        base -= fill.fee
    else:
        quote += sign * fill.fee_quote
    return FillFact(fill.side, base, quote, fill.fee_quote)


def _count(account: Account, order: Order, trade: TradeReport, settlement: Settlement, *, now: datetime) -> None:
    """Count the fill on its order and reservation, and end the order if it was the last one missing."""
    order.filled_quantity += trade.quantity
    order.filled_quote += trade.quote_quantity
    order.exchange_order_id = order.exchange_order_id or trade.exchange_order_id
    order.acknowledged_at = order.acknowledged_at or now
    if order.status not in order_status.LIVE:
        order.save()
        return
    # Counted before the end is looked at: the end voids what is left.
    if order.status in (order_status.SENDING, order_status.UNKNOWN, order_status.OPEN):
        order.status = order_status.PARTIAL
    reservations.use(order.reservation, posted=settlement.posted, voided=settlement.voided)
    if not end_if_complete(account, order, market_at=trade.traded_at, now=now):
        order.save(update_fields=["status", "filled_quantity", "filled_quote", "exchange_order_id", "acknowledged_at"])


def _raise_alarms(account: Account, book_id: int | None, order: Order | None, settlement: Settlement, *, now: datetime) -> None:
    reasons = []
    if settlement.shortfalls:
        accounts.halt_entries(account, accounts.RECONCILE_RESIDUAL, now=now)
        missing = " ".join(f"{plain(amount)} {asset}" for asset, amount in sorted(settlement.shortfalls.items()))
        reasons.append(f"LEDGER_SHORTFALL {missing}"[:64])
    if settlement.is_fee_pending:
        reasons.append("FEE_PENDING")
    if order is not None and order.reason == ORDER_ADOPTED:
        reasons.append(ORDER_ADOPTED)
    if book_id is not None:
        for reason in reasons:
            books.halt(book_id, reason, now=now)
