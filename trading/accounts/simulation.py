"""Simulate a whole account: compiled walks as far as nobody decides, the production rules wherever somebody does.

All bots walk ahead until the next moment at which something is due. Where one of them wants something sooner, the others go
back to where they stood and walk to that moment only, so that the coordinator sees all of them at one time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from trading.accounts.guard import Guard
from trading.accounts.member import Member, Saved, join
from trading.accounts.plan import AccountPlan, Shares
from trading.accounts.purse import Purse
from trading.accounts.referee import Referee, moment
from trading.accounts.result import AccountResult, BotResult
from trading.accounts.sharing import Sharing
from trading.accounts.turns import TurnTaking
from trading.bars import Floats
from trading.instruments import units
from trading.kernels.backtest import Fill, count_reasons
from trading.metrics import DAY_MS
from trading.proposals import Proposal, ProposalKind, arbitration_order
from trading.risk import HARD_STOP
from trading.strategy import BUY, REASONS, DecisionKind, Reason

# Samples in floats find a breach of a cap a hair early; whether it is one is computed exactly.
_HAIR: Final = 1.0 + 1e-9
_ACTING: Final = frozenset((ProposalKind.ENTER, ProposalKind.EXIT, ProposalKind.PLACE))


class AccountSimulation:
    """An account in progress: it can stop at any moment and go on later, and nothing comes out differently."""

    def __init__(self, plan: AccountPlan) -> None:
        """Warm all bots up; nobody has any money yet."""
        self.plan = plan
        self._base_ms = plan.bots[0].candles.interval_ms
        self._begin, self._end = milliseconds(plan.begin_at), milliseconds(plan.end_at)
        if self._begin % self._base_ms:
            raise ValueError(f"The beginning {plan.begin_at} does not open a base candle")
        self.members = [
            join(number, bot, begin=self._begin, end=self._end, costs=plan.costs) for number, bot in enumerate(plan.bots, start=1)
        ]
        self.guard = None if plan.limits is None else Guard(plan.limits, self.members)
        self.purse = Purse(units(plan.capital), self.members, self.guard)
        self._referee = Referee(self.members, plan.bots[0].instrument.quote)
        self._scheme: Sharing | TurnTaking
        if isinstance(plan.sharing, Shares):
            self._scheme = Sharing(plan.sharing, self.members, self.purse)
        else:
            self._scheme = TurnTaking(plan.sharing, self.members, self.purse, interval_ms=self._base_ms)
        self._now = self._begin
        # When something is due: the scheme's next act, and the next day of the caps.
        self._due: int | None = self._begin
        self._day = self._begin
        self._decisions = 0
        self._times = np.arange(self._begin, self._end + 1, self._base_ms, dtype=np.int64)
        self._closes = [member.closes_at(self._times) for member in self.members]
        # What the books are worth at these times, and what nobody has; the beginning belongs to nobody.
        self._worths = np.zeros((len(self.members) + 1, len(self._times)))
        self._worths[-1, 0] = float(plan.capital)
        self._invested = np.zeros(len(self._times))
        self._is_in_market = np.zeros(len(self._times), dtype=np.bool_)

    def run(self, until: datetime | None = None) -> None:
        """Walk to a moment, or to the end."""
        end = self._end if until is None else min(self._end, self._aligned(milliseconds(until)))
        while self._now < end:
            self._do_what_is_due()
            dues = [due for due in (self._due, self._day) if due is not None]
            self._advance(min([end, *dues]))

    def result(self) -> AccountResult:
        """Answer what came of it so far."""
        names = {member.number: member.bot.key for member in self.members}
        known = (self._now - self._begin) // self._base_ms + 1
        stops = () if self.guard is None else tuple(self.guard.stops)
        return AccountResult(
            name=self.plan.name,
            mode=self.plan.mode,
            capital=self.plan.capital,
            unallocated=self.purse.unallocated,
            bots=tuple(
                self._bot_result(member, worths[:known]) for member, worths in zip(self.members, self._worths, strict=False)
            ),
            times=self._times[:known],
            worths=self._worths[:, :known].sum(axis=0),
            invested=self._invested[:known],
            is_in_market=self._is_in_market[:known],
            switches=tuple(self._scheme.switches) if isinstance(self._scheme, TurnTaking) else (),
            hard_stops=tuple((moment(at), None if key is None else names[key]) for at, key in stops),
            decisions=self._decisions,
        )

    def _bot_result(self, member: Member, worths: Floats) -> BotResult:
        return BotResult(
            key=member.bot.key,
            strategy=member.bot.definition.name,
            symbol=member.instrument.symbol,
            lot_size=member.instrument.lot_size,
            fills=_with_sale_reasons(member),
            cash=member.cash + member.cash_reserved,
            quantity=member.quantity,
            mark=member.mark(self._now),
            net_flows=member.net_flows,
            reasons=count_reasons(member.simulation.tape.reasons),
            refusals=member.denials(),
            worths=worths,
        )

    def _aligned(self, at: int) -> int:
        """Return the first open of a base bar from a moment on."""
        return self._begin - (self._begin - at) // self._base_ms * self._base_ms

    def _do_what_is_due(self) -> None:
        now = self._now
        if now >= self._day:
            if self.guard is not None:
                self.guard.open_day(now, self.purse.unallocated)
            self._day = self._aligned((now // DAY_MS + 1) * DAY_MS)
        if self._due is not None and now >= self._due:
            self._scheme.act(now)
            following = self._scheme.next_after(now)
            self._due = None if following is None else self._aligned(milliseconds(following))

    def _advance(self, horizon: int) -> None:
        """Walk to the next moment at which somebody decides or a cap is met, but not beyond the horizon."""
        saved = [member.save() for member in self.members]
        for member in self.members:
            member.walk(horizon)
        at = min((member.asked_at for member in self.members if member.is_asking), default=horizon)
        breach = self._sample(saved, at)
        if breach is not None:
            at = breach
        if at < horizon or breach is not None:
            for member, before in zip(self.members, saved, strict=True):
                if breach is None and member.is_asking and member.asked_at == at:
                    continue
                member.restore(before)
                member.walk(at)
        self._now = at
        if breach is not None:
            self._stop_losses(at)
        else:
            self._arbitrate(at)

    def _sample(self, saved: Sequence[Saved], at: int) -> int | None:
        """Take what everybody is worth since now, up to a moment; answer when a cap may have been met, if one was."""
        first, last = ((moment - self._begin) // self._base_ms + 1 for moment in (self._now, at))
        if first >= last:
            return None
        moments = self._times[first:last]
        self._invested[first:last] = 0.0
        self._is_in_market[first:last] = False
        for k, (member, before) in enumerate(zip(self.members, saved, strict=True)):
            held, worth = member.worth_at(moments, self._closes[k][first:last], before)
            self._worths[k, first:last] = worth
            self._invested[first:last] += held
            self._is_in_market[first:last] |= held >= member.sale_min
        self._worths[-1, first:last] = float(self.purse.unallocated)
        if self.guard is None:
            return None
        met = [self._first_below(key, float(floor) * _HAIR, first, last) for key, floor in self.guard.floors(self._now).items()]
        return min((self._begin + index * self._base_ms for index in met if index is not None), default=None)

    def _first_below(self, key: int | None, floor: float, first: int, last: int) -> int | None:
        worths = self._worths[:, first:last].sum(axis=0) if key is None else self._worths[key - 1, first:last]
        below = worths <= floor
        return first + int(np.argmax(below)) if below.any() else None

    def _stop_losses(self, at: int) -> None:
        assert self.guard is not None
        desk = self._referee.desk(at, unallocated=self.purse.unallocated, room=None, stance=self._scheme.stance)
        beyond = self.guard.shut(at, desk, self.purse.unallocated)
        for member in self.members:
            if None in beyond or member.number in beyond:
                member.sell_out(HARD_STOP)

    def _arbitrate(self, at: int) -> None:
        """Decide what waits: exits first, then by rank, each bot's own decisions in their order."""
        asking = [member for member in self.members if member.is_asking]
        proposals = []
        for member in asking:
            member.size()
            proposals += self._proposals(member)
        for proposal in arbitration_order(proposals):
            self._decide(self.members[proposal.book_id - 1], proposal, at)
        for member in asking:
            member.answered()

    def _proposals(self, member: Member) -> list[Proposal]:
        tape, instrument = member.simulation.tape, member.instrument
        found = []
        for leg in range(int(member.world[0].asked)):
            sized = tape.sized[leg]
            kind = ProposalKind(DecisionKind(int(sized.kind)).name.lower())
            limit, stop = int(sized.limit_ticks), int(sized.stop_ticks)
            found.append(
                Proposal(
                    book_id=member.number,
                    rank=member.number,
                    leg=leg,
                    instrument_id=self._referee.instrument_id(member),
                    kind=kind,
                    reason=REASONS[int(sized.reason)],
                    side=("buy" if int(sized.side) == BUY else "sell") if kind in _ACTING else "",
                    slot=int(sized.slot),
                    lots=int(sized.lots),
                    limit_price=instrument.price(limit) if limit > 0 else None,
                    stop_price=instrument.price(stop) if stop > 0 else None,
                    denial="" if int(sized.deny) == Reason.NONE else REASONS[int(sized.deny)],
                )
            )
        return found

    def _decide(self, member: Member, proposal: Proposal, at: int) -> None:
        tape = member.simulation.tape
        sized = tape.sized[proposal.leg]
        tape.reasons[int(sized.reason)] += 1
        if proposal.kind == ProposalKind.HOLD:
            return
        self._decisions += 1
        if proposal.denial:
            self._note_denial(member, proposal, at)
            return
        if proposal.kind in (ProposalKind.ENTER, ProposalKind.PLACE):
            room = None if self.guard is None else self.guard.room(self._referee, at)
            verdict = self._referee.judge(
                member, proposal, at=at, unallocated=self.purse.unallocated, room=room, stance=self._scheme.stance
            )
            if verdict.refusal is not None:
                member.refusals[verdict.refusal.code] += 1
                return
            if verdict.limit_price is not None:
                sized.limit_ticks = member.instrument.ticks(verdict.limit_price)
        deny = member.carry_out(proposal.leg)
        if deny != Reason.NONE:
            tape.denials[deny] += 1
        if proposal.kind == ProposalKind.ENTER and self.guard is not None:
            self.guard.entered(member, is_filled=deny != Reason.ORDER_EXPIRED)

    def _note_denial(self, member: Member, proposal: Proposal, at: int) -> None:
        # A book whose turn it is not has no money to size an entry by: the turn is the reason, not the size.
        turn = self._referee.turn_of(member, at=at, stance=self._scheme.stance) if proposal.is_entry else None
        member.refusals[proposal.denial if turn is None else turn.code] += 1


def simulate(plan: AccountPlan) -> AccountResult:
    """Simulate an account from beginning to end."""
    simulation = AccountSimulation(plan)
    simulation.run()
    return simulation.result()


def milliseconds(at: datetime) -> int:
    """Count the milliseconds of UTC up to a moment, exactly."""
    return (at - moment(0)) // timedelta(milliseconds=1)


def _with_sale_reasons(member: Member) -> tuple[Fill, ...]:
    fills = list(member.fills())
    for number, reason in member.sale_reasons.items():
        fills[number] = replace(fills[number], reason=reason)
    return tuple(fills)
