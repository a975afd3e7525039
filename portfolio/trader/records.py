"""What the trader reads and writes, one transaction each; the money itself is moved by the writers alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Final, cast

from django.db import transaction
from django.db.models import F

from exchange.ports import FlowReport, OrderTicket
from marketdata.models import Instrument
from portfolio.models import Account, Fill, HistoryCursor, Intent, LedgerAccount, Order
from portfolio.trader.crash_points import crash_point
from portfolio.trader.lease import fenced
from portfolio.writers import accounts, flow_history, flows, loading, orders, releases, transfers
from portfolio.writers import answers as taking_in
from portfolio.writers.answers import Told
from portfolio.writers.ledger import EXTERNAL
from portfolio.writers.orders import ORDER_ADOPTED
from trading import order_status
from trading.desk.answers import Answer
from trading.desk.prevention import prevention_of
from trading.desk.rows import ENTRIES
from trading.orders import OrderReport, TradeReport, parse_client_order_id, same_family

ORDER_NOT_ON_RECORD: Final = "ORDER_NOT_ON_RECORD"
SENDING: Final = order_status.SENDING
# What a bot decides on a candle becomes one of these.
_DECIDED: Final = (Intent.Kind.ENTER, Intent.Kind.PLACE, Intent.Kind.EXIT)
_CANCELLABLE: Final = (order_status.OPEN, order_status.PARTIAL, order_status.CANCELLING)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An order that may be sent."""

    order_id: int
    ticket: OrderTicket
    is_entry: bool
    # Asked for by a person.
    is_flatten: bool
    created_at: datetime
    # The candle on which a bot decided it; none for what follows from fills or comes from a person.
    decided_at: datetime | None = None


@dataclass(slots=True)
class Agenda:
    """What must go out."""

    ready: list[Outgoing] = field(default_factory=list)
    # With the time at which its cancel was last written, if ever.
    cancels: list[tuple[Watched, datetime | None]] = field(default_factory=list)
    is_kill_pending: bool = False


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
    side: str
    quantity: Decimal

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
    trades: set[tuple[str, int]] = field(default_factory=set)
    orders_unknown: set[tuple[str, str]] = field(default_factory=set)


def agenda(account_id: int) -> Agenda:
    """Look once at everything that must go out: new orders in the order of arbitration, cancels, and a kill's."""
    found = Agenda()
    for row, killed_at in loading.due_orders(account_id):
        if killed_at is not None and row.cancel_requested_at is None and row.created_at <= killed_at:
            found.is_kill_pending |= row.intent.kind in ENTRIES
        if row.status == order_status.READY:
            is_entry = row.intent.kind in (Intent.Kind.ENTER, Intent.Kind.PLACE) and row.side == "buy"
            is_flatten = row.intent.kind == Intent.Kind.FLATTEN
            decided_at = row.intent.market_at if row.intent.kind in _DECIDED else None
            found.ready.append(Outgoing(row.pk, _ticket(row), is_entry, is_flatten, row.created_at, decided_at))
        elif row.cancel_requested_at is not None and row.status in _CANCELLABLE:
            found.cancels.append((_watched(row), row.cancel_sent_at))
    return found


def watched_orders(account_id: int) -> list[Watched]:
    """Return every order that was sent and has not ended."""
    rows = Order.objects.filter(account=account_id, status__in=order_status.SENT).select_related("instrument")
    return [_watched(row) for row in rows.order_by("id")]


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


def dead_orders(account_id: int, client_order_ids: Sequence[str]) -> list[Watched]:
    """Return the orders of these names that ended without ever having been seen at the exchange."""
    never_seen = (order_status.ABSENT, order_status.REJECTED, order_status.WITHDRAWN)
    rows = Order.objects.filter(account=account_id, client_order_id__in=client_order_ids, status__in=never_seen)
    return [_watched(row) for row in rows.select_related("instrument")]


def absent_orders(account_id: int, *, since: datetime) -> list[Watched]:
    """Return the orders sent since then that were called absent, the newest first."""
    rows = Order.objects.filter(account=account_id, status=order_status.ABSENT, sent_at__gte=since)
    return [_watched(row) for row in rows.exclude(reason=ORDER_ADOPTED).select_related("instrument").order_by("-id")]


def mark_sending(order_ids: Sequence[int], *, epoch: int, now: datetime) -> set[int]:
    """T2: claim orders for sending, one commit for all; answer which are ours to send."""
    with transaction.atomic():
        return orders.mark_sending_many(order_ids, epoch=epoch, now=now)


def record_answer(
    account_id: int, epoch: int, order_id: int, report: OrderReport, trades: Sequence[TradeReport], *, now: datetime
) -> Recorded:
    """Record what a read or a cancel tells of one order."""
    return record_answers(account_id, epoch, [Answer(order_id, report, tuple(trades))], now=now)[order_id]


def record_answers(account_id: int, epoch: int, answers: Sequence[Answer], *, now: datetime) -> dict[int, Recorded]:
    """T3 and T4 in one for several orders: the trades that an answer brought, then the state it tells."""
    with fenced(account_id, epoch) as account:
        told = taking_in.apply_answers(account, answers, now=now)
        _note(account, told, Posted(), now=now)
        return {order_id: _recorded(order) for order_id, order in told.orders.items()}


def record_unknown(account_id: int, epoch: int, order_id: int, code: str, message: str, *, now: datetime) -> None:
    """T3: nobody knows whether the order lives."""
    record_answers(account_id, epoch, [Answer(order_id, None, code=code, message=message)], now=now)


def record_absence(account_id: int, epoch: int, order_id: int, *, now: datetime) -> None:
    """T3: the resolve rule has proven that the order never lived."""
    with fenced(account_id, epoch) as account:
        orders.mark_absent(account, order_id, now=now)


def withdraw(account_id: int, epoch: int, order_ids: Sequence[int], reason: str, *, now: datetime) -> None:
    """End orders that were never sent and will not be."""
    with fenced(account_id, epoch) as account:
        for order_id in order_ids:
            orders.withdraw(account, order_id, reason, now=now)


def record_cancels_sent(account_id: int, epoch: int, order_ids: Sequence[int], *, now: datetime) -> set[int]:  # noqa: ARG001
    """Note that cancels are about to be written; answer which may be.

    The lease is part of each claim, so that no cancel waits for the account's lock while answers are being recorded.
    """
    with transaction.atomic():
        return orders.mark_canceling_many(order_ids, now=now, epoch=epoch)


def record_events(
    account_id: int, epoch: int, events: Sequence[OrderReport | TradeReport | FlowReport], *, now: datetime
) -> Posted:
    """Apply what the user stream tells, in one transaction; old news and repeats change nothing."""
    posted = Posted()
    with fenced(account_id, epoch) as account:
        for is_flow, run in groupby(events, key=lambda event: isinstance(event, FlowReport)):
            if is_flow:
                for flow in cast("Iterable[FlowReport]", run):
                    _record_flow(account, flow, now=now)
            else:
                news = cast("list[OrderReport | TradeReport]", list(run))
                _note(account, taking_in.apply_news(account, news, now=now), posted, now=now)
    return posted


def missing_trades(account_id: int, trades: Sequence[TradeReport]) -> tuple[list[TradeReport], set[tuple[str, str]]]:
    """Return the trades that are not posted yet, and which of their orders nobody here knows by number."""
    known = _known_trades(account_id, trades)
    missing = [trade for trade in trades if (trade.symbol, trade.trade_id) not in known]
    numbers = {trade.exchange_order_id for trade in missing}
    rows = Order.objects.filter(account=account_id, exchange_order_id__in=numbers)
    ours = set(rows.values_list("instrument__venue_symbol", "exchange_order_id"))
    return missing, {(trade.symbol, trade.exchange_order_id) for trade in missing} - ours


def record_trades(account_id: int, epoch: int, trades: Sequence[TradeReport], *, now: datetime) -> Posted:
    """Post trades of the history in one transaction; name those that say they are ours and are not on record."""
    posted = Posted()
    with fenced(account_id, epoch) as account:
        _note(account, taking_in.apply_news(account, trades, now=now), posted, now=now)
    return posted


def halt(account_id: int, epoch: int, reason: str, *, now: datetime, is_complete: bool) -> None:
    """Stop entries, or everything; an earlier halt of entries keeps its reason, for somebody may have to look at it."""
    with fenced(account_id, epoch) as account:
        if is_complete:
            accounts.set_state(account, Account.State.HALTED, reason, now=now)
        elif account.state != Account.State.ENTRIES_HALTED:
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
    """Ask for the cancel of everything that lived when the account was killed, but protective stops and exits."""
    killed = Account.objects.filter(id=account_id, is_killed=True)
    lived = Order.objects.filter(account__in=killed, status__in=order_status.LIVE, cancel_requested_at__isnull=True)
    if not lived.filter(intent__kind__in=ENTRIES, created_at__lte=F("account__killed_at")).exists():
        return 0
    with fenced(account_id, epoch) as account:
        return orders.request_cancels(account, now=now, spares_exits=True)


def trades_posted(account_id: int) -> int:
    """Return how many trades the ledger knows."""
    return Account.objects.values_list("trades_posted", flat=True).get(id=account_id)


def synced_through(account_id: int) -> datetime | None:
    """Return the market time up to which every fill is posted."""
    return Account.objects.values_list("synced_through_at", flat=True).get(id=account_id)


def ledger_totals(account_id: int) -> dict[str, Decimal]:
    """Add up by asset what the ledger says the exchange holds, without suspense: what is unexplained is not ours."""
    totals: defaultdict[str, Decimal] = defaultdict(Decimal)
    rows = LedgerAccount.objects.filter(account=account_id).exclude(kind__in=[*EXTERNAL, LedgerAccount.Kind.SUSPENSE])
    for asset, balance in rows.values_list("asset", "balance"):
        totals[asset] += balance
    return {asset: total for asset, total in totals.items() if total}


def lift(account_id: int, epoch: int, reason: str, *, now: datetime) -> None:
    """End a halt of entries for a reason that is gone; what is unexplained still keeps them halted."""
    with fenced(account_id, epoch) as account:
        if account.state == Account.State.ENTRIES_HALTED and account.state_reason == reason:
            accounts.lift_halt(account, now=now)


def read_cursors(account_id: int) -> dict[str, int]:
    """Return up to which trade of each symbol the history was read without a gap."""
    return dict(HistoryCursor.objects.filter(account=account_id).values_list("symbol", "trade_id"))


def _note(account: Account, told: Told, posted: Posted, *, now: datetime) -> None:
    """Count what was posted; a trade that carries a name of ours without an order on record halts entries."""
    for fill in told.fills:
        posted.count += 1
        posted.trades.add((fill.instrument.venue_symbol, fill.trade_id))
        crash_point("between_fills")
    for trade in told.unknown:
        posted.orders_unknown.add((trade.symbol, trade.exchange_order_id))
        name = parse_client_order_id(trade.client_order_id or "")
        if name is not None and same_family(name.deploy, account.deploy):
            # A lost row, or a second installation that was made from a backup of this one (E44, O07).
            accounts.halt_entries(account, ORDER_NOT_ON_RECORD, now=now)


def _record_flow(account: Account, flow: FlowReport, *, now: datetime) -> None:
    asset, amount, reference, at = flow.asset, flow.amount, flow.reference, flow.cleared_at
    if transfers.recognise(account, asset=asset, amount=amount, reference=reference, now=now):
        return
    if flow_history.recognise(account, asset=asset, amount=amount, reference=reference, at=at, now=now):
        return
    flows.record_flow(account, asset=asset, amount=amount, reference=reference, market_at=at, now=now)


def _known_trades(account_id: int, trades: Sequence[TradeReport]) -> set[tuple[str, int]]:
    ids = [trade.trade_id for trade in trades]
    rows = Fill.objects.filter(account=account_id, trade_id__in=ids)
    return set(rows.values_list("instrument__venue_symbol", "trade_id"))


def _recorded(order: Order) -> Recorded:
    is_live = order.status in order_status.LIVE
    is_missing = is_live and order.executed_quantity > order.filled_quantity
    return Recorded(is_live, is_missing, order.instrument.venue_symbol)


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
        self_trade_prevention=prevention_of(order.intent.kind, order.instrument.filters),
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
        side=order.side,
        quantity=order.quantity,
    )
