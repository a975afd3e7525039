"""Wrong turns in ledger, coordinator and resolver, one at a time: each must be found by the invariants of a few histories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from portfolio.trader import outbox, resolver
from portfolio.trader.intake import Intake
from portfolio.trader.records import Outgoing
from tests.simulation.memory_records import MemoryRecords
from trading import ledger, resolution, settlement
from trading.desk import (
    admission,
    answers,
    claims,
    coordination,
    fills,
    journal,
    memory,
    placing,
    releases,
    reports,
    reservations,
)
from trading.desk.answers import Answer
from trading.desk.desk import Desk
from trading.desk.memory import MemoryStore
from trading.desk.plain import Order
from trading.order_status import LIVE
from trading.resolution import Verdict

Change = tuple[object, str, Any]
TINY: Final = Decimal("0.00000001")


def _everywhere(original: Callable[..., Any], wrong: Callable[..., Any]) -> list[Change]:
    """Replace a function in every module that has named it."""
    modules = (
        *(ledger, settlement, resolution, admission, answers, claims, coordination, fills, journal, memory, placing, releases),
        *(reports, reservations, outbox, resolver),
    )
    name = original.__name__
    return [(module, name, wrong) for module in modules if getattr(module, name, None) is original]


def fills_are_not_deduplicated() -> list[Change]:
    """A trade that is posted is posted again, whether it came with the same news or is on record."""
    begin = Desk.__init__

    def forgetful(self: Desk, *arguments: Any, **values: Any) -> None:
        begin(self, *arguments, **values)
        self.posted = _Forgetful()

    return [(Desk, "__init__", forgetful), *_stored_fills_are_overlooked()]


def fills_on_record_are_overlooked() -> list[Change]:
    """A trade on record is posted again; a trader that remembers what it recorded seldom asks twice, so it forgets."""
    return [*trader_remembers_nothing(), *_stored_fills_are_overlooked()]


def trader_remembers_nothing() -> list[Change]:
    """The trader hands on every repeat. This alone is no wrong turn: the books must post each trade once all the same."""
    return [(Intake, "remember", lambda *_arguments: None)]


def _stored_fills_are_overlooked() -> list[Change]:
    original = MemoryStore.trade_facts

    def wrong(self: MemoryStore, trade: Any) -> Any:
        fills = self.tables.fills
        self.tables.fills = {}
        try:
            return original(self, trade)
        finally:
            self.tables.fills = fills

    return [(MemoryStore, "trade_facts", wrong)]


def fee_is_dropped() -> list[Change]:
    """A fee is nobody's."""
    original = settlement.settle
    return _everywhere(original, lambda trade, balances: original(replace(trade, fee=ledger.ZERO), balances))


def fee_in_quote_is_not_held() -> list[Change]:
    """A buy whose fee will be quote holds its price alone."""
    original = ledger.worst_case
    return _everywhere(original, lambda **values: original(**values | {"fee": ledger.NO_QUOTE_FEE}))


def fee_in_quote_is_held_twice() -> list[Change]:
    """What trades have paid in fees is held as if it were still to pay."""
    return _everywhere(reservations.fee_counted, lambda *_arguments: ledger.ZERO)


def fee_of_the_pool_is_rounded_down() -> list[Change]:
    """What a book pays the pool is rounded in the book's favour."""
    return [(settlement, "ceil_to", ledger.floor_to)]


def reservation_is_never_released() -> list[Change]:
    """What an ended order held stays held."""
    return [(reservations, "void", lambda *_arguments, **_values: False)]


def better_price_frees_nothing() -> list[Change]:
    """A fill at a better price than the limit keeps the difference reserved."""
    original = settlement.settle

    def wrong(trade: Any, balances: Any) -> Any:
        return original(replace(trade, reserved_after=max(trade.reserved - trade.quote_quantity, trade.reserved_after)), balances)

    return _everywhere(original, wrong)


def reserve_is_skipped() -> list[Change]:
    """An order holds nothing."""
    return [(reservations, "opening", lambda instrument, **_values: (instrument.quote, TINY))]


def capital_is_not_checked() -> list[Change]:
    """An entry is granted whatever its book has."""
    return [(admission, "_capital_refusal", lambda *_arguments: None)]


def crossing_is_not_checked() -> list[Change]:
    """Two bots may trade with each other."""
    return [
        (admission, "_crossing_refusal", lambda *_arguments: None),
        (placing, "_bids_in_the_way", lambda *_arguments: []),
        (placing, "price_inside_rivals", lambda _desk, intent: intent.limit_price),
    ]


def unknown_is_sent_again() -> list[Change]:
    """An order that nobody answered for goes out once more."""
    original = claims.sending

    def wrong(**values: Any) -> Any:
        claim = original(**values)
        return replace(claim, statuses=claim.statuses | {"unknown"}, is_first_attempt=False)

    agenda = MemoryRecords.agenda

    def again(self: MemoryRecords, account_id: int) -> Any:
        found = agenda(self, account_id)
        unknown = [row for row in self._live() if row.status == "unknown"]
        from tests.simulation.memory_records import _ticket

        found.ready += [Outgoing(row.pk, _ticket(row), False, False, row.created_at) for row in unknown]
        return found

    return [(claims, "sending", wrong), (MemoryRecords, "agenda", again)]


def unknown_is_called_absent_at_once() -> list[Change]:
    """One look that does not show an order is enough."""
    return [(resolution, "judge", lambda doubt, look, bounds: Verdict.RECORD if look.is_seen else Verdict.ABSENT)]


def no_answer_is_a_rejection() -> list[Change]:
    """An order without an answer counts as refused."""
    original = Answer

    def wrong(*arguments: Any, **values: Any) -> Any:
        if values.get("code"):
            values["is_refused"] = True
        return original(*arguments, **values)

    return [(outbox, "Answer", wrong)]


def epoch_is_ignored() -> list[Change]:
    """A zombie may write and claim."""
    original = memory.Memory.transaction

    def wrong(self: memory.Memory, *, epoch: int | None = None) -> Any:
        return original(self)

    sending = claims.sending
    return [
        (memory.Memory, "transaction", wrong),
        (claims, "sending", lambda *, epoch, now: replace(sending(epoch=epoch, now=now), epoch=None)),
    ]


def kill_is_ignored() -> list[Change]:
    """A killed account sends its entries all the same."""
    original = claims.sending
    return [(claims, "sending", lambda **values: replace(original(**values), spares_killed_entries=False))]


def order_ends_before_its_fills() -> list[Change]:
    """An order ends as soon as the exchange calls it final."""
    original = reports.end_if_complete

    def wrong(desk: Desk, order: Any) -> bool:
        if order.final_status and order.status in LIVE and order.filled_quantity != order.quantity:
            status = "canceled" if order.final_status in ("filled", "rejected") else order.final_status
            reports.end(desk, order, status)
            return True
        return original(desk, order)

    return _everywhere(original, wrong)


def fill_goes_to_the_first_book() -> list[Change]:
    """Every fill is the first bot's."""
    original = MemoryStore._order_of

    def wrong(self: MemoryStore, trade: Any, instrument: Any) -> Order | None:
        order = original(self, trade, instrument)
        if order is not None:
            order.book_id = 1
        return order

    return [(MemoryStore, "_order_of", wrong)]


def cancel_is_taken_for_done() -> list[Change]:
    """A cancel that was asked for counts as proven."""
    original = claims.cancelling

    def wrong(*, now: Any) -> Any:
        claim = original(now=now)
        return replace(claim, values={**claim.values, "status": "canceled"})

    return [(claims, "cancelling", wrong)]


def shortfall_is_taken_from_the_pool() -> list[Change]:
    """What a book cannot pay is paid by what nobody was given."""
    original = settlement._Purse.pay

    def wrong(self: Any, amount: Any, asset: str, to: Any, sources: Any) -> None:
        spare = ledger.Pocket("unallocated", None, asset)
        original(self, amount, asset, to, [(spare, self.balance(spare)), *sources])

    return [(settlement._Purse, "pay", wrong)]


def late_fill_is_folded_last() -> list[Change]:
    """A fill that arrives late counts as the newest."""
    original = MemoryStore.trade_facts
    return [(MemoryStore, "trade_facts", lambda self, trade: original(self, trade)._replace(newest=None))]


def cost_is_rounded_up() -> list[Change]:
    """The share of the cost that leaves with a sale is a unit too large."""
    from trading import positions

    original = positions._share
    return [(positions, "_share", lambda amount, part, whole: original(amount, part, whole) + (TINY if part != whole else 0))]


def hash_forgets_what_came_before() -> list[Change]:
    """The chain is no chain."""
    original = ledger.transaction_hash
    return [(journal, "transaction_hash", lambda **values: original(**{**values, "previous": ""}))]


def stop_is_forgotten() -> list[Change]:
    """An entry's stop is never attached."""
    return [(releases, "attach_stop", lambda *_arguments: None)]


def absent_stop_is_not_asked_for_again() -> list[Change]:
    """A stop that never reached the exchange leaves its position bare."""
    return [(releases, "_protect_again", lambda *_arguments: None)]


def passed_stop_is_not_sold() -> list[Change]:
    """A stop that the exchange refuses because the price is through it leaves its position bare."""
    return [(releases, "_sell_instead", lambda *_arguments: None)]


def partial_status_is_skipped() -> list[Change]:
    """A canceled order's fills are not waited for: its figures are taken from the report."""
    original = reports.apply_report

    def wrong(desk: Desk, order_id: int, report: Any) -> Any:
        return original(desk, order_id, replace(report, executed_quantity=ledger.ZERO, executed_quote=ledger.ZERO))

    return _everywhere(original, wrong)


def settle_window_is_forgotten() -> list[Change]:
    """The clock alone is enough to call an order absent, though balances disagree."""
    original = resolution.judge

    def wrong(doubt: Any, look: Any, bounds: Any) -> Verdict:
        return original(doubt, replace(look, is_agreed=True, age_seconds=look.age_seconds * 100), bounds)

    return [(resolution, "judge", wrong)]


MUTANTS: Final[tuple[Callable[[], list[Change]], ...]] = (
    fills_are_not_deduplicated, fills_on_record_are_overlooked, fee_is_dropped,
    fee_in_quote_is_not_held, fee_in_quote_is_held_twice, fee_of_the_pool_is_rounded_down,
    reservation_is_never_released, better_price_frees_nothing, reserve_is_skipped, capital_is_not_checked,
    crossing_is_not_checked, unknown_is_sent_again, unknown_is_called_absent_at_once, no_answer_is_a_rejection,
    epoch_is_ignored, kill_is_ignored, order_ends_before_its_fills, fill_goes_to_the_first_book, cancel_is_taken_for_done,
    shortfall_is_taken_from_the_pool, late_fill_is_folded_last, cost_is_rounded_up, hash_forgets_what_came_before,
    stop_is_forgotten, absent_stop_is_not_asked_for_again, passed_stop_is_not_sold, partial_status_is_skipped,
    settle_window_is_forgotten,
)  # fmt: skip


@contextmanager
def alive(mutant: Callable[[], list[Change]]) -> Iterator[None]:
    """Have the code be wrong in this way; what is replaced must be there, or the mutant would change nothing."""
    changes = mutant()
    for place, name, _ in changes:
        if not hasattr(place, name):
            raise AttributeError(f"{mutant.__name__} replaces {name}, which {place} does not have")
    before = [(place, name, vars(place).get(name, _MISSING)) for place, name, _ in changes]
    for place, name, wrong in changes:
        setattr(place, name, wrong)
    try:
        yield
    finally:
        for place, name, original in before:
            if original is _MISSING:
                delattr(place, name)
            else:
                setattr(place, name, original)


class _Forgetful(set[tuple[int, int]]):
    """Knows nothing of what was put into it."""

    def __contains__(self, _item: object) -> bool:
        return False


_MISSING: Final = object()
