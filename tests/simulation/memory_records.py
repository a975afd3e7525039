"""What `portfolio.trader.records` reads and writes, in memory: the same questions over the same rules, without a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, cast

from exchange.ports import FlowReport, OrderTicket
from portfolio.models import Reconciliation
from portfolio.trader.lease import LeaseLost
from portfolio.trader.records import Agenda, Outgoing, Posted, Recorded, Watched
from portfolio.trader.rereading import WATCH
from tests.simulation.memory_books import compare, record_flow, set_state, store_of
from trading import order_status
from trading.desk import answers as taking_in
from trading.desk import claims, fills, releases, reports
from trading.desk.answers import Answer
from trading.desk.desk import Desk
from trading.desk.journal import EXTERNAL
from trading.desk.memory import Fenced, Memory, MemoryStore
from trading.desk.plain import Order
from trading.desk.prevention import prevention_of
from trading.desk.rows import ACTIVE, ENTRIES, ENTRIES_HALTED, FLATTEN, HALTED, ORDER_ADOPTED
from trading.ledger import ZERO
from trading.orders import OrderReport, TradeReport, parse_client_order_id
from trading.settlement import SUSPENSE

STARTING = "starting"
_CANCELLABLE = (order_status.OPEN, order_status.PARTIAL, order_status.CANCELLING)


class MemoryRecords:
    """Methods named like the functions that the trader has run on its database."""

    def __init__(self, memory: Memory, crash_point: Callable[[str], None]) -> None:
        self.memory = memory
        self.crash_point = crash_point
        self.killed_at: datetime | None = None
        self.cursors: dict[str, int] = {}
        self.outcomes: list[str] = []
        self.exact_at: list[datetime] = []

    def acquire(self) -> int:
        """Take the lease."""
        self.memory.epoch += 1
        return self.memory.epoch

    def renew(self, _account_id: int, epoch: int, *, now: datetime) -> None:
        """Keep the lease."""
        if epoch != self.memory.epoch:
            raise LeaseLost("Another trader has it.")

    def read_cursors(self, _account_id: int) -> dict[str, int]:
        """Return up to where each history was read."""
        return dict(self.cursors)

    def move_cursors(self, _account_id: int, epoch: int, newest: Mapping[str, int], *, now: datetime) -> None:
        """Note how far histories were read."""
        with self._fenced(epoch, now):
            for symbol, trade_id in newest.items():
                self.cursors[symbol] = max(self.cursors.get(symbol, 0), trade_id)

    def missing_trades(self, _account_id: int, trades: Sequence[TradeReport]) -> tuple[list[TradeReport], set[tuple[str, str]]]:
        """Return the trades that are not posted, and which of their orders nobody knows by number."""
        tables = self.memory.tables
        known = {(row.instrument.venue_symbol, row.trade_id) for row in tables.fills.values()}
        missing = [trade for trade in trades if (trade.symbol, trade.trade_id) not in known]
        ours = {(row.instrument.venue_symbol, row.exchange_order_id) for row in tables.orders.values()}
        return missing, {(trade.symbol, trade.exchange_order_id) for trade in missing} - ours

    def lift(self, _account_id: int, epoch: int, reason: str, *, now: datetime) -> None:
        """End a halt whose reason is gone."""
        with self._fenced(epoch, now) as desk:
            if (desk.account.state, desk.account.state_reason) == (ENTRIES_HALTED, reason):
                set_state(desk, ACTIVE, "")

    def agenda(self, _account_id: int) -> Agenda:
        """Look at everything that must go out."""
        tables, found = self.memory.tables, Agenda()
        killed_at = self.killed_at if tables.account.is_killed else None
        for row in sorted(self._live(), key=lambda order: order.intent.seq):
            lived = killed_at is not None and row.created_at <= killed_at
            if lived and row.cancel_requested_at is None and row.intent.kind in ENTRIES:
                found.is_kill_pending = True
            if row.status == order_status.READY:
                is_entry = row.intent.kind in ENTRIES and row.side == "buy"
                found.ready.append(Outgoing(row.pk, _ticket(row), is_entry, row.intent.kind == FLATTEN, row.created_at))
            elif row.cancel_requested_at is not None and row.status in _CANCELLABLE:
                found.cancels.append((_watched(row), row.cancel_sent_at))
        return found

    def watched_orders(self, _account_id: int) -> list[Watched]:
        """Return every order that was sent and has not ended."""
        return [_watched(row) for row in self._live() if row.status in order_status.SENT]

    def adopted_orders(self, _account_id: int) -> list[Watched]:
        """Return the orders that came to life again."""
        rows = self.memory.tables.orders.values()
        found = [row for row in rows if row.reason == ORDER_ADOPTED and row.cancel_requested_at is not None]
        return [_watched(row) for row in reversed(found)]

    def dead_orders(self, _account_id: int, client_order_ids: Sequence[str]) -> list[Watched]:
        """Return those of these orders that ended without ever having been seen."""
        never_seen = (order_status.ABSENT, order_status.REJECTED, order_status.WITHDRAWN)
        rows = self.memory.tables.orders.values()
        return [_watched(row) for row in rows if row.client_order_id in client_order_ids and row.status in never_seen]

    def absent_orders(self, _account_id: int, *, since: datetime) -> list[Watched]:
        """Return the orders that were called absent, the newest first."""
        rows = (row for row in self.memory.tables.orders.values() if row.status == order_status.ABSENT)
        found = [row for row in rows if row.sent_at is not None and row.sent_at >= since and row.reason != ORDER_ADOPTED]
        return [_watched(row) for row in reversed(found)]

    def symbols_in_play(self, _account_id: int) -> list[str]:
        """Return the symbols in which something of ours may trade."""
        return sorted({row.instrument.venue_symbol for row in self._live() if row.status in order_status.SENT})

    def symbols_ever(self, _account_id: int) -> list[str]:
        """Return every symbol that ever saw an order or a trade."""
        tables = self.memory.tables
        ordered = {row.instrument.venue_symbol for row in tables.orders.values()}
        return sorted(ordered | {row.instrument.venue_symbol for row in tables.fills.values()})

    def histories(self, _account_id: int, assets: Iterable[str], *, now: datetime) -> dict[str, int]:
        """Return from which trade on histories are read again."""
        tables, since = self.memory.tables, now - WATCH
        late = [row for row in tables.movements if row.recorded_at >= since]
        explained = {leg.pocket.asset for row in late if row.kind == "explained" for leg in row.legs}
        bases = {*assets, *explained} - {tables.account.quote_asset}
        began = next((row.recorded_at for row in late if row.kind == "suspense"), now)
        whole_at = max((moment for moment in self.exact_at if moment < began), default=None)
        found = {row.venue_symbol: 0 for row in tables.instruments.values() if row.base in bases}
        for row in tables.fills.values():
            if row.instrument.venue_symbol in found and whole_at is not None and row.posted_at < whole_at:
                found[row.instrument.venue_symbol] = max(found[row.instrument.venue_symbol], row.trade_id + 1)
        return dict(sorted(found.items()))

    def ledger_totals(self, _account_id: int) -> dict[str, Decimal]:
        """Add up what is ours, without suspense."""
        totals: dict[str, Decimal] = {}
        for pocket, balance in self.memory.tables.pockets.items():
            if pocket.kind not in EXTERNAL and pocket.kind != SUSPENSE:
                totals[pocket.asset] = totals.get(pocket.asset, ZERO) + balance
        return {asset: total for asset, total in totals.items() if total}

    def trades_posted(self, _account_id: int) -> int:
        """Return how many trades are posted."""
        return self.memory.tables.account.trades_posted

    def synced_through(self, _account_id: int) -> datetime | None:
        """Return up to which market time everything is posted."""
        return self.memory.tables.account.synced_through_at

    def mark_sending(self, order_ids: Sequence[int], *, epoch: int, now: datetime) -> set[int]:
        """T2."""
        claim = claims.sending(epoch=epoch, now=now)
        with self.memory.transaction() as store:
            return {order_id for order_id in order_ids if store.claim_row(order_id, claim)}

    def record_cancels_sent(self, _account_id: int, epoch: int, order_ids: Sequence[int], *, now: datetime) -> set[int]:
        """Note that cancels are about to be written."""
        with self._fenced(epoch, now) as desk:
            store, claim = store_of(desk), claims.cancelling(now=now)
            return {order_id for order_id in order_ids if store.claim_row(order_id, claim)}

    def record_unknown(self, _account_id: int, epoch: int, order_id: int, code: str, message: str, *, now: datetime) -> None:
        """T3: nobody knows."""
        self.record_answers(_account_id, epoch, [Answer(order_id, None, code=code, message=message)], now=now)

    def record_absence(self, _account_id: int, epoch: int, order_id: int, *, now: datetime) -> None:
        """T3: proven never to have lived."""
        with self._fenced(epoch, now) as desk:
            reports.mark_absent(desk, order_id)

    def withdraw(self, _account_id: int, epoch: int, order_ids: Sequence[int], reason: str, *, now: datetime) -> None:
        """End orders that will not be sent."""
        for order_id in order_ids:
            with self._fenced(epoch, now) as desk:
                reports.withdraw(desk, order_id, reason)

    def record_answer(self, account_id: int, epoch: int, order_id: int, report: OrderReport, trades: Sequence[TradeReport], *,
                      now: datetime) -> Recorded:  # fmt: skip
        """Record what a read or a cancel tells."""
        return self.record_answers(account_id, epoch, [Answer(order_id, report, tuple(trades))], now=now)[order_id]

    def record_answers(self, _account_id: int, epoch: int, answers: Sequence[Answer], *, now: datetime) -> dict[int, Recorded]:
        """T3 and T4 for several orders, one transaction for all."""
        with self._fenced(epoch, now) as desk:
            for answer in answers:
                if answer.is_unknown:
                    store_of(desk).claim_row(answer.order_id, claims.unknown(answer.code, answer.message))
            self._note(desk, taking_in.apply_answers(desk, answers), Posted())
        return {answer.order_id: self._recorded(answer.order_id) for answer in answers}

    def record_events(
        self, _account_id: int, epoch: int, events: Sequence[OrderReport | TradeReport | FlowReport], *, now: datetime
    ) -> Posted:
        """Apply what the stream tells, one transaction for all."""
        posted = Posted()
        with self._transaction(epoch) as store:
            for is_flow, run in groupby(events, key=lambda event: isinstance(event, FlowReport)):
                if is_flow:
                    for flow in cast("Iterable[FlowReport]", run):
                        with _desk(store, now) as desk:
                            record_flow(desk, flow.asset, flow.amount, flow.reference, flow.cleared_at)
                else:
                    with _desk(store, now) as desk:
                        self._note(desk, taking_in.apply_news(desk, cast("list[OrderReport | TradeReport]", list(run))), posted)
        return posted

    def record_trades(self, _account_id: int, epoch: int, trades: Sequence[TradeReport], *, now: datetime) -> Posted:
        """Post the trades that are not posted yet."""
        posted = Posted()
        with self._fenced(epoch, now) as desk:
            self._note(desk, taking_in.apply_news(desk, trades), posted)
        return posted

    def halt(self, _account_id: int, epoch: int, reason: str, *, now: datetime, is_complete: bool) -> None:
        """Stop entries, or everything."""
        with self._fenced(epoch, now) as desk:
            if is_complete:
                desk.account.state, desk.account.state_reason = HALTED, reason
                desk.touch_account("state", "state_reason")
            elif desk.account.state != ENTRIES_HALTED:
                desk.halt_entries(reason)

    def begin_recovery(self, _account_id: int, epoch: int, *, now: datetime) -> None:
        """Show that the account is being recovered."""
        with self._fenced(epoch, now) as desk:
            if desk.account.state == ACTIVE:
                set_state(desk, STARTING, "")

    def end_recovery(self, _account_id: int, epoch: int, *, now: datetime) -> str:
        """Release what waited and let the account trade."""
        with self._fenced(epoch, now) as desk:
            releases.after_fills(desk)
            if desk.account.state == STARTING:
                set_state(desk, ACTIVE, "")
            return desk.account.state

    def cancel_after_kill(self, _account_id: int, epoch: int, *, now: datetime) -> int:
        """Ask for the cancel of everything that lived when the account was killed."""
        killed_at = self.killed_at
        lived = [row for row in self._live() if killed_at is not None and row.created_at <= killed_at]
        due = [row for row in lived if row.cancel_requested_at is None and row.intent.kind in ENTRIES]
        if not due or not self.memory.tables.account.is_killed:
            return 0
        with self._fenced(epoch, now) as desk:
            return reports.request_cancels(desk, spares_exits=True)

    def compare(self, *, totals: Mapping[str, Decimal], cause: str, now: datetime, trades_posted: int | None = None,
                **_facts: Any) -> Reconciliation:  # fmt: skip
        """Compare ledger and exchange; a difference goes to suspense and halts entries."""
        row = Reconciliation(outcome=Reconciliation.Outcome.UNSTABLE, duration_ms=0)
        if trades_posted == self.memory.tables.account.trades_posted:
            with self._fenced(self.memory.epoch, now) as desk:
                row.outcome = Reconciliation.Outcome.RESIDUAL if compare(desk, totals, cause) else Reconciliation.Outcome.EXACT
        self.outcomes.append(str(row.outcome))
        if row.outcome == Reconciliation.Outcome.EXACT:
            self.exact_at.append(now)
        return row

    def is_safe_mode(self, _account_id: int) -> bool:
        """Say whether too many crashes keep the trader down: a history crashes more often than anybody's machine."""
        return False

    def is_older_than_marked(self, _account_id: int) -> bool:
        """Say whether the rows were restored behind the machine's back: never, in memory."""
        return False

    def settled_trade(self, _account_id: int, *, before: datetime) -> None:
        """Return a trade by which the exchange can be told from another one: there is one exchange here."""

    def beat(self, _process: str, _facts: Mapping[str, Any], *, now: datetime) -> None:
        """Give a sign of life; nobody looks."""

    @contextmanager
    def _transaction(self, epoch: int) -> Iterator[MemoryStore]:
        try:
            with self.memory.transaction(epoch=epoch) as store:
                yield store
        except Fenced as error:
            raise LeaseLost(str(error)) from error

    @contextmanager
    def _fenced(self, epoch: int, now: datetime) -> Iterator[Desk]:
        with self._transaction(epoch) as store, _desk(store, now) as desk:
            yield desk

    def _live(self) -> list[Order]:
        tables = self.memory.tables
        return [tables.orders[pk] for pk in sorted(tables.live)]

    def _note(self, desk: Desk, told: fills.Posted, posted: Posted) -> None:
        for fill in told.fills:
            posted.count += 1
            posted.trades.add((fill.instrument.venue_symbol, fill.trade_id))
            self.crash_point("between_fills")
        for trade in told.unknown:
            posted.orders_unknown.add((trade.symbol, trade.exchange_order_id))
            name = parse_client_order_id(trade.client_order_id or "")
            if name is not None and name.deploy == desk.account.deploy:
                desk.halt_entries("ORDER_NOT_ON_RECORD")

    def _recorded(self, order_id: int) -> Recorded:
        order = self.memory.tables.orders[order_id]
        is_live = order.status in order_status.LIVE
        return Recorded(is_live, is_live and order.executed_quantity > order.filled_quantity, order.instrument.venue_symbol)


@contextmanager
def _desk(store: MemoryStore, now: datetime) -> Iterator[Desk]:
    desk = Desk(store, store.account, market_at=store.account.synced_through_at or now, now=now)
    yield desk
    desk.write()


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
