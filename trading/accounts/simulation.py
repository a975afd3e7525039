"""Simulate a whole account: compiled walks as far as nobody decides, the production rules wherever somebody does.

Each bot walks ahead to its next decision, to the next bar that meets one of its orders, or to the next moment at which
something is due; whoever stands earliest goes first. Another's decision changes nothing of what a bot has walked, so it
stays where it is. Between two such moments the caps of the day are looked at afterwards, on all closes at once: where one
may have been met, the account goes back and takes that stretch again, looking before each decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import numpy as np

from trading.accounts.cashier import Cashier
from trading.accounts.court import Court
from trading.accounts.guard import Guard
from trading.accounts.joining import join
from trading.accounts.member import FLOAT_UNIT, Member
from trading.accounts.plan import AccountPlan, Shares
from trading.accounts.purse import Purse
from trading.accounts.referee import milliseconds, moment
from trading.accounts.result import AccountResult, BotResult, Holding
from trading.accounts.samples import first_below, sample
from trading.accounts.sharing import Sharing
from trading.accounts.turns import TurnTaking
from trading.accounts.walks import Saved, Stood
from trading.bars import Floats, Times
from trading.instruments import amount, units
from trading.kernels.asking import share_volume
from trading.kernels.backtest import Fill, count_reasons
from trading.kernels.tallies import read_tallies
from trading.kernels.world import JOURNAL_DTYPE
from trading.metrics import DAY_MS
from trading.risk import HARD_STOP
from trading.strategy import Record

# Samples in floats find a breach of a cap a hair early; whether it is one is computed exactly.
_HAIR: Final = 1.0 + 1e-9
_NO_FLOOR: Final = float("-inf")
_FILLS_AT_FIRST: Final = 64


class AccountSimulation:
    """An account in progress: it can stop at any moment and go on later, and nothing comes out differently."""

    def __init__(self, plan: AccountPlan) -> None:
        """Warm all bots up; nobody has any money yet."""
        self.plan = plan
        self._base_ms = plan.bots[0].base_ms
        self._begin, self._end = milliseconds(plan.begin_at), milliseconds(plan.end_at)
        if self._begin % self._base_ms:
            raise ValueError(f"The beginning {plan.begin_at} does not open a base candle")
        self._times = np.arange(self._begin, self._end + 1, self._base_ms, dtype=np.int64)
        self.members, self._table, self._content = join(plan, begin=self._begin, end=self._end, times=self._times)
        self.guard = None if plan.limits is None else Guard(plan.limits, self.members, barren=self._table.worlds["barren"])
        self.purse = Purse(units(plan.capital), self.members, self.guard)
        self._scheme: Sharing | TurnTaking
        if isinstance(plan.sharing, Shares):
            self._scheme = Sharing(plan.sharing, self.members, self.purse)
        else:
            self._scheme = TurnTaking(plan.sharing, self.members, self.purse, interval_ms=self._base_ms)
        self.court = Court(
            members=self.members,
            table=self._table,
            purse=self.purse,
            guard=self.guard,
            scheme=self._scheme,
            begin=self._begin,
        )
        self._cashier = Cashier(plan.flows, self.members, self.purse, align=self._aligned)
        self._now = self._begin
        # When something is due: the scheme's next act, the next flow, and the next day of the caps.
        self._due: int | None = self._begin
        self._flow_due: int | None = self._begin if plan.flows else None
        self._day = self._begin
        # What the books are worth at these times, and what nobody has; the beginning belongs to nobody.
        self._worths = np.zeros((len(self.members) + 1, len(self._times)))
        self._worths[-1, 0] = float(plan.capital)
        self._invested = np.zeros(len(self._times))
        self._is_in_market = np.zeros(len(self._times), dtype=np.bool_)
        # Where everybody stood before their last walk, while each step is looked at.
        self._stood: dict[int, Saved] | None = None
        # Each bot's markets among all, and the first of them, which keeps the bot's money.
        self._firsts = self._table.books["first"].copy()
        ends = np.cumsum([len(member.instruments) for member in self.members])
        self._rows = [slice(int(end) - len(member.instruments), int(end)) for end, member in zip(ends, self.members, strict=True)]
        # Less than this is dust, for figures.
        sale_mins = [max(float(one.min_notional), FLOAT_UNIT) for member in self.members for one in member.instruments]
        # What samples are made from, and where they go.
        read = (self._table.worlds, self._table.books, self._times, self._table.closes, np.array(sale_mins))
        self._samples = read, (self._worths, self._invested, self._is_in_market)
        # Fills of all bots since they stood somewhere.
        self._newest: Record = np.zeros(_FILLS_AT_FIRST, dtype=JOURNAL_DTYPE)

    def run(self, until: datetime | None = None) -> None:
        """Walk to a moment, or to the end."""
        end = self._end if until is None else min(self._end, self._aligned(milliseconds(until)))
        while self._now < end:
            self._do_what_is_due()
            dues = [due for due in (self._due, self._flow_due, self._day) if due is not None]
            self._advance(min([end, *dues]))

    def result(self) -> AccountResult:
        """Answer what came of it so far."""
        self.court.close()
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
            decisions=self.court.decisions,
            flows=self._cashier.outcomes(),
            payments=tuple((at, amount(moved)) for at, moved in self.purse.payments),
        )

    def _bot_result(self, member: Member, worths: Floats) -> BotResult:
        return BotResult(
            key=member.bot.key,
            strategy=member.bot.definition.name,
            holdings=tuple(
                Holding(one.symbol, one.lot_size, member.quantity(market), member.mark(market, self._now))
                for market, one in enumerate(member.instruments)
            ),
            fills=_with_sale_reasons(member),
            tallies=read_tallies(member.worlds, member.instruments),
            cash=member.cash + member.cash_reserved,
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
            if self.plan.costs.frictions.fee_tiers:
                self._share_volume(now)
            self._day = self._aligned((now // DAY_MS + 1) * DAY_MS)
        is_flowing = self._flow_due is not None and now >= self._flow_due
        if is_flowing:
            self._cashier.act(now)
        if is_flowing or (self._due is not None and now >= self._due):
            self._scheme.act(now)
            self._due = self._following(self._scheme.next_after(now))
        if is_flowing:
            # What is dealt out anew may wait for other cash than before.
            self._flow_due = self._following(self._cashier.next_after(now))

    def _following(self, at: datetime | None) -> int | None:
        return None if at is None else self._aligned(milliseconds(at))

    def _share_volume(self, now: int) -> None:
        """Have the fees of all bots follow what the account traded: a tier is the account's, not a bot's."""
        traded = sum(int(member.worlds[0]["volume_today"]) for member in self.members)
        for member in self.members:
            share_volume(member.worlds, traded, now)

    def _advance(self, horizon: int) -> None:
        """Walk to the horizon; nothing is due before."""
        self.court.refresh(self._now, horizon)
        before = self._stand()
        if self.guard is None:
            self._leap(horizon)
            self._sample(before, horizon)
            self._now = horizon
            return
        content, kept = self._content.copy(), self.court.keep()
        self._leap(horizon)
        self._sample(before, horizon)
        if self._first_breach(horizon, is_sure=False) is None:
            self._now = horizon
            return
        self.court.go_back(kept)
        self._content[:] = content
        for member in self.members:
            member.went_back()
        self._go_step_by_step(horizon)

    def _stand(self) -> Stood:
        """Answer where all books stand now."""
        worlds, firsts = self._table.worlds, self._firsts
        cashes = worlds["cash"][firsts] + worlds["cash_locked"][firsts]
        return Stood(worlds["fill_count"][firsts], cashes, worlds["base_owned"].copy())

    def _leap(self, horizon: int) -> None:
        """Walk to the horizon from decision to decision."""
        self._set_out_alone(self.members, horizon)
        while (at := min(member.event for member in self.members)) < horizon:
            self._meet(at, horizon)

    def _go_step_by_step(self, horizon: int) -> None:
        """Walk to the horizon and look at the caps before each decision; where one is met, all go back to that moment."""
        before = self._stood = {}
        self._set_out(self.members, horizon)
        while self._now < horizon:
            at = min(horizon, *(member.event for member in self.members))
            self._sample(_together([before[member.number] for member in self.members]), at)
            breach = self._first_breach(at, is_sure=True)
            self._now = at if breach is None else breach
            if breach is not None:
                for member in self.members:
                    member.restore(before[member.number])
                    member.walk(breach)
                self._stop_losses(breach)
                self.court.refresh(breach, horizon)
                self._set_out(self.members, horizon)
            elif at < horizon:
                self._meet(at, horizon)
        self._stood = None

    def _set_out(self, members: Sequence[Member], horizon: int) -> None:
        """Have members walk on, and remember where they stood as long as they may have to go back there."""
        for member in members:
            if self._stood is not None:
                self._stood[member.number] = member.save()
            member.walk(horizon)

    def _set_out_alone(self, members: Sequence[Member], horizon: int) -> None:
        """Have members walk on to what concerns anybody else: they are turned away on the way where it is not their turn."""
        if self._stood is not None:
            self._set_out(members, horizon)
            return
        for member in members:
            member.walk_alone(horizon)

    def _meet(self, at: int, horizon: int) -> None:
        """Settle what is asked at a moment, and have those concerned walk on.

        Who stands before a bar that meets its orders walks into it first, for it may ask at its opening. If it does not,
        the others still see it as it was before.
        """
        passing = [member for member in self.members if member.event == at and not member.is_asking]
        for member in passing:
            member.pass_on()
        # Not alone: who asks at the opening is seen as it stands there, be it turned away or not.
        self._set_out(passing, horizon)
        asking = [member for member in self.members if member.event == at and member.is_asking]
        if not asking:
            return
        ahead = [member for member in passing if member not in asking]
        self._look_back(ahead, is_back=True)
        self.court.arbitrate(asking, at)
        self._look_back(ahead, is_back=False)
        for member in asking:
            member.answered()
        self._set_out_alone(asking, horizon)

    def _look_back(self, members: Sequence[Member], *, is_back: bool) -> None:
        for member in members:
            member.look_back(is_back=is_back)
            self._table.is_shown[self._rows[member.number - 1]] = is_back

    def _first_breach(self, at: int, *, is_sure: bool) -> int | None:
        """Answer when a cap may have been met since now, if one was."""
        assert self.guard is not None
        first, last = self._between(at)
        if first >= last:
            return None
        floors = self.guard.floors(self._now, is_sure=is_sure)
        of_books = [floors.get(member.number, _NO_FLOOR) * _HAIR for member in self.members]
        met = first_below(self._worths, np.array([*of_books, floors.get(None, _NO_FLOOR) * _HAIR]), first, last)
        return None if met == last else self._begin + met * self._base_ms

    def _between(self, at: int) -> tuple[int, int]:
        """Answer which of the account's times lie after now, up to a moment."""
        return (self._now - self._begin) // self._base_ms + 1, (at - self._begin) // self._base_ms + 1

    def _sample(self, before: Stood, at: int) -> None:
        """Take what everybody is worth since now, up to a moment."""
        first, last = self._between(at)
        if first >= last:
            return
        sample((before.cashes, before.owned), self._fills_since(before.fill_counts), *self._samples, first, last)
        self._worths[-1, first:last] = float(self.purse.unallocated)

    def _fills_since(self, before: Times) -> tuple[Record, Times]:
        """Put what everybody traded since these counts into one journal, one after the other, with where each one's fills end."""
        now = self._table.worlds["fill_count"][self._firsts]
        ends = (now - before).cumsum()
        if ends[-1] > len(self._newest):
            self._newest = np.zeros(2 * int(ends[-1]), dtype=JOURNAL_DTYPE)
        for k in (now > before).nonzero()[0].tolist():
            journal = self.members[k].simulation.tape.journal
            self._newest[ends[k] - (now[k] - before[k]) : ends[k]] = journal[before[k] : now[k]]
        return self._newest, ends

    def _stop_losses(self, at: int) -> None:
        assert self.guard is not None
        desk = self.court.referee.desk(at, unallocated=self.purse.unallocated, room=None, stance=self._scheme.stance)
        beyond = self.guard.shut(at, desk, self.purse.unallocated)
        for member in self.members:
            if None in beyond or member.number in beyond:
                member.sell_out(HARD_STOP)


def simulate(plan: AccountPlan) -> AccountResult:
    """Simulate an account from beginning to end."""
    simulation = AccountSimulation(plan)
    simulation.run()
    return simulation.result()


def _together(saved: Sequence[Saved]) -> Stood:
    counts, cashes = np.array([one.fill_count for one in saved]), np.array([one.cash for one in saved])
    return Stood(counts, cashes, np.concatenate([one.owned for one in saved]))


def _with_sale_reasons(member: Member) -> tuple[Fill, ...]:
    fills = member.fills()
    reasons = member.sale_reasons
    return tuple(replace(fill, reason=reasons[fill.order_id]) if fill.order_id in reasons else fill for fill in fills)
