"""Single and rotation mode over time: whose turn it is, and how the account passes on by the production hand-over."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from trading import handover
from trading.accounts.member import Member
from trading.accounts.plan import Turns
from trading.accounts.purse import Purse
from trading.accounts.referee import moment
from trading.desk.mode_rules import HANDED_OVER
from trading.handover import NOTHING_IN_PLAY, Act, Action, BookFacts, HandOver, Stance
from trading.ledger import ZERO, exactly
from trading.rotation import Policy, Turn, turn_at, turns_ahead
from trading.strategy import BUY

# A hand-over in which every order ends at once takes a few steps; more would be one that goes round in circles.
_STEPS_MAX: Final = 20
_MILLISECOND: Final = timedelta(milliseconds=1)


class TurnTaking:
    """Gives the account to one bot at a time."""

    def __init__(self, turns: Turns, members: Sequence[Member], purse: Purse, *, interval_ms: int) -> None:
        """Give it to nobody yet."""
        self._turns = turns
        self._members = {member.number: member for member in members}
        self._purse = purse
        self._look_again = timedelta(milliseconds=interval_ms)
        self._turn: Turn | None = None
        self._ahead: deque[Turn] = deque()
        self._hand_over: HandOver | None = None
        # The stops of books that leave, by market: their orders go before what they guard is handed on.
        self._stop_ticks: dict[tuple[int, int], int] = {}
        self.switches: list[tuple[datetime, str]] = []
        # Who may enter, since when and until when.
        self.stance: Stance | None = None

    def next_after(self, at: int) -> datetime | None:
        """Answer when there is something to do next."""
        if self._hand_over is not None and not self._hand_over.is_settled:
            return moment(at) + self._look_again
        return None if self._turn is None else self._turn.end_at

    @exactly
    def act(self, at: int) -> None:
        """Pass the account on where a turn is over, and go on with a hand-over that is under way."""
        now = moment(at)
        before = at - self._look_again // _MILLISECOND
        if self._was_waited_out(before):
            self._go_on(before)
        if self._turn is None or (self._turn.end_at is not None and now >= self._turn.end_at):
            self._begin(now)
        self._go_on(at)
        for member in self._members.values():
            member.show(handover.view_at(self._hand_over, member.number, now), at)
        self.stance = self._stance()

    def _stance(self) -> Stance | None:
        passing, turn = self._hand_over, self._turn
        if passing is None or turn is None:
            return None
        return Stance(
            mode=self._turns.mode,
            epoch=passing.epoch,
            phase=passing.phase,
            active=passing.incoming,
            since=passing.settled_at,
            until=turn.end_at,
        )

    def _go_on(self, at: int) -> None:
        for _ in range(_STEPS_MAX):
            passing = self._hand_over
            if passing is None or passing.is_settled:
                return
            step = handover.step(passing, self._all_facts(passing, at), moment(at))
            self._hand_over = step.hand_over
            if not step.actions:
                return
            for action in step.actions:
                self._perform(action, step.hand_over, at)
        raise RuntimeError(f"The hand-over at {moment(at)} does not come to an end")

    def _was_waited_out(self, at: int) -> bool:
        """Say whether those who leave are flat by what they decided at that look: live the account passes on at once."""
        passing = self._hand_over
        if passing is None or passing.is_settled:
            return False
        return all(
            facts.is_flat and self._members[number].filled_at <= at for number, facts in self._all_facts(passing, at).items()
        )

    def _turn_at(self, now: datetime) -> Turn:
        """Ask whose turn it is, for many days at once."""
        while self._ahead and (ends := self._ahead[0].end_at) is not None and ends <= now:
            self._ahead.popleft()
        if not self._ahead:
            self._ahead.extend(turns_ahead(self._turns.rotation, now))
        return self._ahead[0] if self._ahead else turn_at(self._turns.rotation, now)

    def _all_facts(self, passing: HandOver, at: int) -> dict[int, BookFacts]:
        return {number: self._facts(number, passing, at) for number in passing.outgoing}

    def _begin(self, now: datetime) -> None:
        before, self._turn = self._turn, self._turn_at(now)
        if before is not None and before.bot == self._turn.bot:
            return
        incoming = frozenset(member.number for member in self._members.values() if member.bot.key == self._turn.bot)
        self._hand_over = handover.begin(
            self._hand_over,
            active=frozenset() if self._hand_over is None else self._hand_over.incoming,
            incoming=incoming,
            policy=Policy.FLATTEN if before is None else before.policy,
            at=now,
            wait_minutes=0 if before is None else before.wait_minutes,
        )
        self.switches.append((now, self._turn.bot))

    def _facts(self, number: int, passing: HandOver, at: int) -> BookFacts:
        member, heir = self._members[number], self._heir(passing)
        if member.is_idle:
            return NOTHING_IN_PLAY
        sides = member.open_sides()
        entries = sides.count(BUY)
        sellable = member.sellable(at)
        return BookFacts(
            entries=entries,
            exits=len(sides) - entries,
            sellable=len(sellable),
            being_sold=sum(member.is_being_sold(market) for market in sellable),
            can_be_handed_on=len(_handed_on(member, heir, sellable)),
        )

    def _perform(self, action: Action, passing: HandOver, at: int) -> None:
        if action.act == Act.SETTLE:
            self._deal(passing, at)
            return
        assert action.book_id is not None
        member = self._members[action.book_id]
        if action.act == Act.CANCEL_ENTRIES:
            member.cancel(entries_only=True)
        elif action.act == Act.CANCEL_ALL:
            for market in range(len(member.instruments)):
                self._stop_ticks[member.number, market] = member.stop_ticks(market)
            member.cancel(entries_only=False)
        elif action.act == Act.SELL:
            member.sell_out(HANDED_OVER)
        elif (heir := self._heir(passing)) is not None:
            for market in _handed_on(member, heir, member.sellable(at)):
                self._hand_on(member, heir, market, at)

    def _hand_on(self, member: Member, heir: Member, market: int, at: int) -> None:
        value = member.quantity(market) * member.mark(market, at)
        if self._purse.guard is not None:
            self._purse.guard.moved(member, -value, at)
        heir.take_over(member, market, self._stop_ticks.pop((member.number, market), 0), value)

    def _heir(self, passing: HandOver) -> Member | None:
        return self._members[next(iter(passing.incoming))] if len(passing.incoming) == 1 else None

    def _deal(self, passing: HandOver, at: int) -> None:
        """Recall the free cash of everybody whose turn it is not, and fund the one whose turn it is, up to the budget."""
        budget = self._turns.budget
        for member in self._members.values():
            if member.number not in passing.incoming:
                self._purse.move_units(member, -member.cash_units, at)
                member.size_by_units(max(0, member.worth_units(at)))
        for number in sorted(passing.incoming):
            member = self._members[number]
            there = max(ZERO, self._purse.to_share)
            wanted = there if budget is None else budget - member.worth(at)
            self._purse.move(member, max(min(wanted, there), -member.cash), at)
            sized = max(ZERO, member.worth(at))
            member.size_by(sized if budget is None else min(sized, budget))
        self._await_withdrawals(at)

    def _await_withdrawals(self, at: int) -> None:
        """Have those who hold something now give back what withdrawals still take."""
        for member in self._members.values():
            if member.pending:
                member.wait_for(ZERO)
        self._purse.shrink(at)


def _handed_on(member: Member, heir: Member | None, sellable: list[int]) -> list[int]:
    """List which of the markets that a book could sell its heir trades too."""
    return [] if heir is None else [market for market in sellable if heir.market_of(member.instruments[market]) is not None]
