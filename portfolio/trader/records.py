"""What the trader reads and writes, one transaction each; the money itself is moved by the writers alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import F, Q

from exchange.ports import FlowReport, OrderTicket
from marketdata.models import Instrument, Market
from portfolio import doorbells
from portfolio.models import Account, Fill, Heartbeat, Intent, LedgerAccount, Order
from portfolio.trader.crash_points import crash_point
from portfolio.trader.lease import fenced
from portfolio.writers import accounts, fills, flows, orders, releases
from portfolio.writers.ledger import EXTERNAL
from portfolio.writers.orders import ORDER_ADOPTED
from trading import order_status
from trading.orders import OrderReport, TradeReport, parse_client_order_id

ORDER_NOT_ON_RECORD: Final = "ORDER_NOT_ON_RECORD"
# Reports of an order that ended like this can only be old news, unless they tell of more fills.
_ENDED_BY_EXCHANGE: Final = (order_status.FILLED, order_status.CANCELED, order_status.EXPIRED)
# An exchange that takes the cancel may lose the answer: after this long it is asked again.
CANCEL_AGAIN_SECONDS: Final = 2


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An order that may be sent."""

    order_id: int
    ticket: OrderTicket


@dataclass(frozen=True, slots=True)
class Watched:
    """An order that the exchange has, or may have."""

    order_id: int
    symbol: str
    client_order_id: str
    status: str
    sent_at: datetime | None
    executed_quantity: Decimal
    filled_quantity: Decimal
    is_ending: bool

    @property
    def is_unknown(self) -> bool:
        """Say whether nobody knows if the exchange has it."""
        return self.status in (order_status.SENDING, order_status.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a transaction made of an answer."""

    is_live: bool
    is_missing_fills: bool
    # Orders that now exist or are wanted gone: the outbox must be looked at again.
    symbol: str


@dataclass(slots=True)
class Posted:
    """What became of a batch of trades."""

    count: int = 0
    orders_unknown: set[tuple[str, str]] = field(default_factory=set)


def ready_orders(account_id: int) -> list[Outgoing]:
    """Return the outbox in the order of arbitration."""
    rows = Order.objects.filter(account=account_id, status=order_status.READY).select_related("instrument")
    return [Outgoing(row.pk, _ticket(row)) for row in rows.order_by("intent__seq")]


def watched_orders(account_id: int) -> list[Watched]:
    """Return every order that was sent and has not ended."""
    rows = Order.objects.filter(account=account_id, status__in=order_status.SENT).select_related("instrument")
    return [_watched(row) for row in rows.order_by("id")]


def cancels_due(account_id: int, *, now: datetime) -> list[Watched]:
    """Return the orders whose cancel must be sent, or sent again."""
    rows = Order.objects.filter(account=account_id, cancel_requested_at__isnull=False).select_related("instrument")
    never = Q(status__in=(order_status.OPEN, order_status.PARTIAL))
    again = Q(status=order_status.CANCELLING)
    found = rows.filter(never | again).order_by("id")
    return [_watched(row) for row in found if _is_due(row, now)]


def adopted_orders(account_id: int) -> list[Watched]:
    """Return the orders that came to life after we had called them dead."""
    rows = Order.objects.filter(account=account_id, reason=ORDER_ADOPTED, cancel_requested_at__isnull=False)
    return [_watched(row) for row in rows.select_related("instrument").order_by("-id")[:50]]


def symbols_in_play(account_id: int) -> list[str]:
    """Return the symbols in which something of ours may trade at this moment."""
    rows = Order.objects.filter(account=account_id, status__in=order_status.SENT)
    return sorted(set(rows.values_list("instrument__venue_symbol", flat=True)))


def symbols_ever(account_id: int) -> list[str]:
    """Return every symbol in which the account has ever had an order or a trade."""
    ordered = Order.objects.filter(account=account_id).order_by().values_list("instrument__venue_symbol", flat=True).distinct()
    traded = Fill.objects.filter(account=account_id).order_by().values_list("instrument__venue_symbol", flat=True).distinct()
    return sorted({*ordered, *traded})


def symbols_to_search(account_id: int, assets: Iterable[str]) -> list[str]:
    """Return the symbols whose trades could explain a difference in these assets."""
    account = Account.objects.get(id=account_id)
    # The quote asset is in every pair: it is only worth a search together with a base that differs too.
    bases = set(assets) - {account.quote_asset}
    rows = Instrument.objects.filter(base__in=bases, market=account.market_id)
    return sorted(rows.values_list("venue_symbol", flat=True))


def dead_orders(client_order_ids: Sequence[str]) -> list[Watched]:
    """Return the orders of these names that ended without ever having been seen at the exchange."""
    never_seen = (order_status.ABSENT, order_status.REJECTED, order_status.WITHDRAWN)
    rows = Order.objects.filter(client_order_id__in=client_order_ids, status__in=never_seen)
    return [_watched(row) for row in rows.select_related("instrument")]


def mark_sending(order_id: int, *, epoch: int, now: datetime) -> bool:
    """T2: claim an order for sending."""
    return orders.mark_sending(order_id, epoch=epoch, now=now)


def record_answer(
    account_id: int, epoch: int, order_id: int, report: OrderReport, trades: Sequence[TradeReport], *, now: datetime
) -> Recorded:
    """T3 and T4 in one: the trades that an answer brought, then the state it tells."""
    with fenced(account_id, epoch) as account:
        for trade in trades:
            fills.post_fill(account, trade, now=now)
            crash_point("between_fills")
        _apply(account, order_id, report, now=now)
        return _recorded(order_id)


def record_rejection(account_id: int, epoch: int, order_id: int, code: str, message: str, *, now: datetime) -> None:
    """T3: the order is proven not to live."""
    with fenced(account_id, epoch) as account:
        orders.mark_rejected(account, order_id, code, message, now=now)


def record_unknown(account_id: int, epoch: int, order_id: int, code: str, message: str, *, now: datetime) -> None:
    """T3: nobody knows whether the order lives."""
    with fenced(account_id, epoch):
        orders.mark_unknown(order_id, code, message, now=now)


def record_absence(account_id: int, epoch: int, order_id: int, *, now: datetime) -> None:
    """T3: the resolve rule has proven that the order never lived."""
    with fenced(account_id, epoch) as account:
        orders.mark_absent(account, order_id, now=now)


def record_cancel_sent(account_id: int, epoch: int, order_id: int, *, now: datetime) -> bool:
    """Note that a cancel is about to be written."""
    with fenced(account_id, epoch):
        return orders.mark_canceling(order_id, now=now)


def record_events(
    account_id: int, epoch: int, events: Sequence[OrderReport | TradeReport | FlowReport], *, now: datetime
) -> Posted:
    """Apply what the user stream tells, in one transaction; old news and repeats change nothing."""
    posted = Posted()
    with fenced(account_id, epoch) as account:
        for event in events:
            if isinstance(event, TradeReport):
                _post(account, event, posted, now=now)
            elif isinstance(event, OrderReport):
                order = Order.objects.filter(account=account, client_order_id=event.client_order_id).only("id").first()
                if order is not None:
                    _apply(account, order.pk, event, now=now)
            else:
                flows.record_flow(
                    account,
                    asset=event.asset,
                    amount=event.amount,
                    reference=event.reference,
                    market_at=event.cleared_at,
                    now=now,
                )
    return posted


def record_trades(account_id: int, epoch: int, trades: Sequence[TradeReport], *, now: datetime) -> Posted:
    """Post the trades that are not posted yet; name those whose order nobody here knows."""
    posted = Posted()
    known = _known_trades(account_id, trades)
    missing = [trade for trade in trades if (trade.symbol, trade.trade_id) not in known]
    if missing:
        with fenced(account_id, epoch) as account:
            for trade in missing:
                _post(account, trade, posted, now=now)
    return posted


def halt(account_id: int, epoch: int, reason: str, *, now: datetime, is_complete: bool) -> None:
    """Stop entries, or everything."""
    with fenced(account_id, epoch) as account:
        if is_complete:
            accounts.set_state(account, Account.State.HALTED, reason, now=now)
        else:
            accounts.halt_entries(account, reason, now=now)


def begin_recovery(account_id: int, epoch: int, *, now: datetime) -> None:
    """Show that the account is being recovered; a halt that a person or a check has set stays."""
    with fenced(account_id, epoch) as account:
        if account.state == Account.State.ACTIVE or account.state_reason == "KEY_INVALID":
            accounts.set_state(account, Account.State.STARTING, "", now=now)


def end_recovery(account_id: int, epoch: int, *, now: datetime) -> str:
    """Release what waited and let the account trade; answer its state."""
    with fenced(account_id, epoch) as account:
        releases.after_fills(account, market_at=account.synced_through_at or now, now=now)
        if account.state == Account.State.STARTING:
            accounts.set_state(account, Account.State.ACTIVE, "", now=now)
        return account.state


def cancel_after_kill(account_id: int, epoch: int, *, now: datetime) -> int:
    """Ask for the cancel of everything that lived when the account was killed."""
    killed = Account.objects.filter(id=account_id, is_killed=True)
    lived = Order.objects.filter(account__in=killed, status__in=order_status.LIVE, cancel_requested_at__isnull=True)
    if not lived.filter(created_at__lte=F("account__killed_at")).exists():
        return 0
    with fenced(account_id, epoch) as account:
        return orders.request_cancels(account, now=now)


def mark_synced(account_id: int, epoch: int, market_at: datetime, *, expected: int) -> bool:
    """Note that every fill up to a market time is posted, then ring; refuse while fewer are posted than expected."""
    with fenced(account_id, epoch) as account:
        if account.trades_posted < expected:
            return False
        accounts.mark_synced(account, market_at)
    for ring in doorbells.on_synced:
        ring(account_id=account_id, market_at=market_at)
    return True


def count_if_quiet(account_id: int, market_at: datetime) -> int | None:
    """Return how many trades are posted if market time may go on: nothing on its way, every due bot has advanced."""
    moving = (order_status.READY, order_status.SENDING, order_status.UNKNOWN, order_status.CANCELLING)
    live = Order.objects.filter(account=account_id, status__in=order_status.LIVE)
    # Bots first: what they write before their last step is seen by the looks that follow.
    if not all(ask(account_id=account_id, market_at=market_at) for ask in doorbells.due_bots_done):
        return None
    if live.filter(Q(status__in=moving) | Q(cancel_requested_at__isnull=False) | ~Q(final_status="")).exists():
        return None
    waiting = Intent.objects.filter(book__account=account_id, state=Intent.State.WAITING)
    return None if waiting.exists() else trades_posted(account_id)


def trades_posted(account_id: int) -> int:
    """Return how many trades the ledger knows."""
    return Account.objects.values_list("trades_posted", flat=True).get(id=account_id)


def synced_through(account_id: int) -> datetime | None:
    """Return the market time up to which every fill is posted."""
    return Account.objects.values_list("synced_through_at", flat=True).get(id=account_id)


def market_time(account_id: int) -> datetime | None:
    """Return the close of the newest candle of the account's market."""
    return Market.objects.values_list("market_time_at", flat=True).get(accounts=account_id)


def ledger_totals(account_id: int) -> dict[str, Decimal]:
    """Add up by asset what the ledger says the exchange holds, without suspense: what is unexplained is not ours."""
    totals: defaultdict[str, Decimal] = defaultdict(Decimal)
    rows = LedgerAccount.objects.filter(account=account_id).exclude(kind__in=[*EXTERNAL, LedgerAccount.Kind.SUSPENSE])
    for asset, balance in rows.values_list("asset", "balance"):
        totals[asset] += balance
    return {asset: total for asset, total in totals.items() if total}


def read_cursors(process: str) -> dict[str, int]:
    """Return up to which trade of each symbol the history was read without a gap."""
    facts = Heartbeat.objects.filter(process=process).values_list("facts", flat=True).first() or {}
    return {str(symbol): int(last) for symbol, last in facts.get("cursors", {}).items()}


def beat(process: str, facts: Mapping[str, Any], *, now: datetime) -> None:
    """Give a sign of life."""
    Heartbeat.objects.update_or_create(process=process, defaults={"beat_at": now, "facts": dict(facts)})


def _apply(account: Account, order_id: int, report: OrderReport, *, now: datetime) -> None:
    order = Order.objects.only("status", "filled_quantity").get(id=order_id)
    if order.status in _ENDED_BY_EXCHANGE and report.executed_quantity <= order.filled_quantity:
        return
    orders.apply_report(account, order_id, report, now=now)


def _post(account: Account, trade: TradeReport, posted: Posted, *, now: datetime) -> None:
    try:
        if fills.post_fill(account, trade, now=now) is not None:
            posted.count += 1
            crash_point("between_fills")
    except fills.OwnerUnknown:
        posted.orders_unknown.add((trade.symbol, trade.exchange_order_id))
        name = parse_client_order_id(trade.client_order_id or "")
        if name is not None and name.deploy == account.deploy:
            accounts.halt_entries(account, ORDER_NOT_ON_RECORD, now=now)


def _known_trades(account_id: int, trades: Sequence[TradeReport]) -> set[tuple[str, int]]:
    ids = [trade.trade_id for trade in trades]
    rows = Fill.objects.filter(account=account_id, trade_id__in=ids)
    return set(rows.values_list("instrument__venue_symbol", "trade_id"))


def _recorded(order_id: int) -> Recorded:
    order = Order.objects.select_related("instrument").get(id=order_id)
    is_live = order.status in order_status.LIVE
    is_missing = is_live and order.executed_quantity > order.filled_quantity
    return Recorded(is_live, is_missing, order.instrument.venue_symbol)


def _is_due(order: Order, now: datetime) -> bool:
    return order.cancel_sent_at is None or (now - order.cancel_sent_at).total_seconds() >= CANCEL_AGAIN_SECONDS


def _ticket(order: Order) -> OrderTicket:
    return OrderTicket(
        client_order_id=order.client_order_id,
        symbol=order.instrument.venue_symbol,
        side=order.side,
        type=order.type,
        quantity=order.quantity,
        price=order.price,
        stop_price=order.stop_price,
        time_in_force=order.time_in_force,
    )


def _watched(order: Order) -> Watched:
    return Watched(
        order_id=order.pk,
        symbol=order.instrument.venue_symbol,
        client_order_id=order.client_order_id,
        status=order.status,
        sent_at=order.sent_at,
        executed_quantity=order.executed_quantity,
        filled_quantity=order.filled_quantity,
        is_ending=bool(order.final_status) or order.cancel_requested_at is not None,
    )
