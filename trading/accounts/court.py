"""Where the decisions of bots are settled: what stays clear of every limit in compiled code, the rest by the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from trading.accounts.guard import Guard
from trading.accounts.member import NEVER, Member
from trading.accounts.purse import Purse
from trading.accounts.referee import Referee
from trading.accounts.sharing import Sharing
from trading.accounts.turns import TurnTaking
from trading.accounts.walks import Bytes
from trading.desk.plain import Book, Instrument
from trading.handover import Stance
from trading.kernels.settling import AWAY, OPEN_TURN, UNKNOWN, Table, first_entry, settle, settle_asked
from trading.kernels.world import count_barren
from trading.ledger import UNIT, ZERO
from trading.proposals import Proposal, ProposalKind
from trading.risk import HUNDREDTH, REFUSE, Limits, room_for_entries
from trading.strategy import BUY, REASONS, DecisionKind, Reason, Record

_KINDS: Final = {int(kind): ProposalKind(kind.name.lower()) for kind in DecisionKind}
_ACTING: Final = frozenset((ProposalKind.ENTER, ProposalKind.EXIT, ProposalKind.PLACE))
_ENTERING: Final = frozenset((ProposalKind.ENTER, ProposalKind.PLACE))
# What the rows of a simulated account say where nobody has set anything else.
_ORDERS_MAX: Final = room_for_entries(Instrument.order_count_max)
_RATE_MAX: Final = Book.orders_per_minute
# More than any order can be.
_NO_LIMIT: Final = 2**62


class Kept(NamedTuple):
    """What decisions change beside the bots' own memory."""

    books: Bytes
    terms: Bytes
    granted: list[tuple[int, int]]
    refusals: list[dict[str, int]]


class _Turn(NamedTuple):
    """What is known of a bot's turn, and the code by which it is turned away while it has none."""

    at_first: int
    later: int
    code: str


class Court:
    """Settles what bots ask for at one market time: exits first, then by rank, each bot's own decisions in their order."""

    def __init__(
        self,
        *,
        members: Sequence[Member],
        table: Table,
        purse: Purse,
        guard: Guard | None,
        scheme: Sharing | TurnTaking,
        begin: int,
    ) -> None:
        """Meet the account; `is_trusting` may be taken away, and then every entry goes before the rules."""
        self.referee = Referee(members, members[0].quote)
        self.is_trusting = True
        self._members = members
        self._table = table
        self._purse = purse
        self._guard = guard
        self._scheme = scheme
        self._begin = begin
        self._base_ms = members[0].bot.base_ms
        # What is known of everybody's turn, and from when on.
        self._known = [_Turn(UNKNOWN, UNKNOWN, "")] * len(members)
        self._known_from = begin
        # Column by column: records are slow to read and write by attribute.
        self._books = {name: table.books[name] for name in table.books.dtype.names or ()}
        self._terms = {name: table.terms[name] for name in table.terms.dtype.names or ()}
        self._content = table.books.view(np.uint8), table.terms.view(np.uint8)
        self._terms["rate_max"][0] = _RATE_MAX
        if guard is not None:
            self._set_limits(guard.limits)

    @property
    def decisions(self) -> int:
        """Count the decisions so far."""
        return int(self._terms["decisions"][0])

    def refresh(self, now: int, until: int) -> None:
        """Work out what holds for every decision after now and before `until`: turns, caps, floors."""
        self._count_turned_away()
        books, terms, guard = self._books, self._terms, self._guard
        terms["known_from"][0] = self._index(now)
        # Where the market has no room for another order, each goes before the rules.
        terms["orders_max"][0] = _ORDERS_MAX if self._is_trusting else 0
        terms["unallocated"][0] = float(self._purse.unallocated)
        self._known_from, self._known = now, self._turns(now, until)
        for member, turn in zip(self._members, self._known, strict=True):
            member.away = now + (turn.at_first != AWAY), NEVER if turn.later == AWAY else now + 1
        books["turn_at_first"][:] = [turn.at_first for turn in self._known]
        books["turn"][:] = [turn.later for turn in self._known]
        books["leaving"][:] = [-int(min(member.pending, ZERO) // UNIT) if member.pending else 0 for member in self._members]
        books["position_cap"][:] = [member.position_cap for member in self._members]
        if guard is not None:
            self._refresh_limits(guard)

    def _refresh_limits(self, guard: Guard) -> None:
        books, terms = self._books, self._terms
        books["is_latched"][:] = [member.number in guard.latches for member in self._members]
        floors = guard.soft_floors()
        books["floor"][:] = [floors[member.number] for member in self._members]
        terms["is_latched"][0] = None in guard.latches
        terms["floor"][0] = floors[None]

    def _set_limits(self, limits: Limits) -> None:
        terms = self._terms
        terms["is_limited"][0] = 1
        terms["is_strict"][0] = limits.opposite_positions == REFUSE
        terms["value_max"][0] = min(_NO_LIMIT, int(limits.order_value_max // UNIT))
        terms["repeats_max"][0] = limits.repeats_max
        terms["rate_max"][0] = min(_RATE_MAX, limits.orders_per_minute)
        terms["collar"][0] = float(limits.collar_percent * HUNDREDTH)
        terms["fall"][0] = float(limits.fall_percent * HUNDREDTH)

    def keep(self) -> Kept:
        """Copy what decisions change, to go back to it."""
        books, terms = self._content
        refusals = [dict(member.refusals) for member in self._members]
        return Kept(books.copy(), terms.copy(), self.referee.granted(), refusals)

    def go_back(self, kept: Kept) -> None:
        """Undo what was decided since."""
        for mine, before in zip(self._content, (kept.books, kept.terms), strict=True):
            mine[:] = before
        self.referee.go_back(kept.granted)
        for member, refusals in zip(self._members, kept.refusals, strict=True):
            member.refusals.clear()
            member.refusals.update(refusals)

    def arbitrate(self, asking: Sequence[Member], at: int) -> None:
        """Settle all decisions that wait."""
        self._terms["granted"][0] = self.referee.granted_since_a_minute(at)
        if len(asking) == 1:
            (alone,) = asking
            if alone.is_late:
                alone.size()
                self._send(alone, 0, alone.asked, at)
                return
            alone.make_room()
            stopped = settle_asked(self._table, alone.worlds, alone.simulation.tape, alone.number - 1, self._index(at))
            self._go_on(alone, stopped, alone.asked, at)
            return
        for member in asking:
            member.size()
        for number, first, last in stretches([(member.simulation.tape.sized, member.asked) for member in asking]):
            member = asking[number]
            if member.is_late:
                self._send(member, first, last, at)
                continue
            stopped = settle(self._table, member.worlds, member.simulation.tape, member.number - 1, self._index(at), first, last)
            self._go_on(member, stopped, last, at)

    def close(self) -> None:
        """Write down what is counted elsewhere."""
        self._count_turned_away()

    def _index(self, at: int) -> int:
        return (at - self._begin) // self._base_ms

    @property
    def _is_trusting(self) -> bool:
        # Compiled code sees orders that rest, and none that wait for the next candle.
        return self.is_trusting and not any(member.may_wait for member in self._members)

    @property
    def _stance(self) -> Stance | None:
        return self._scheme.stance

    def _turns(self, now: int, until: int) -> list[_Turn]:
        """Ask the rules about everybody's turn at once, and then at both ends: between those nothing they look at changes.

        The very moment at which the account passed on is nobody's, so that it counts apart.
        """
        if not self._is_trusting:
            return [_Turn(UNKNOWN, UNKNOWN, "")] * len(self._members)
        stance = self._stance
        if stance is None:
            return [_Turn(OPEN_TURN, OPEN_TURN, "")] * len(self._members)
        codes = (self.referee.turn_codes(at=at, stance=stance) for at in (now, now + 1, until - 1))
        return [_known_turn(*told) for told in zip(*codes, strict=True)]

    def _count_turned_away(self) -> None:
        by_rules, on_the_way = self._books["turned_away"], self._table.worlds["turned_away"]
        for k, count in enumerate(by_rules.tolist()):
            if count:
                self._members[k].refusals[self._known[k].code] += count
        for world, count in enumerate(on_the_way.tolist()):
            if count:
                k = int(self._table.owners[world])
                self._members[k].refusals[self._known[k].code] += count
                self._terms["decisions"][0] += count
        by_rules[:] = on_the_way[:] = 0

    def _send(self, member: Member, first: int, last: int, at: int) -> None:
        """Ask the rules now about decisions that arrive later; what they let pass is carried out on arrival."""
        for leg in range(first, last):
            is_hold = int(member.simulation.tape.sized[leg]["kind"]) == DecisionKind.HOLD
            member.send(leg, is_granted=is_hold or self._is_granted(member, leg, at))

    def _go_on(self, member: Member, first: int, last: int, at: int) -> None:
        """Go on with the decision at which compiled code stopped."""
        book, now = member.number - 1, self._index(at)
        self._note_granted(member, at)
        while first < last:
            self._decide(member, first, at)
            first = settle(self._table, member.worlds, member.simulation.tape, book, now, first + 1, last)
            self._note_granted(member, at)

    def _note_granted(self, member: Member, at: int) -> None:
        member.changes += 1
        granted = self._books["granted"]
        if granted[member.number - 1]:
            self.referee.grant(member.number, at, int(granted[member.number - 1]))
            granted[member.number - 1] = 0

    def _proposal(self, member: Member, leg: int) -> Proposal:
        # In the order of the record's fields.
        number, market, slot, side, lots, limit, stop, reason, deny = member.simulation.tape.sized[leg].item()
        instrument, kind = member.instruments[market], _KINDS[number]
        return Proposal(
            book_id=member.number,
            rank=member.number,
            leg=leg,
            instrument_id=self.referee.instrument_id(member, market),
            kind=kind,
            reason=REASONS[reason],
            side=("buy" if side == BUY else "sell") if kind in _ACTING else "",
            slot=slot,
            lots=lots,
            limit_price=instrument.price(limit) if limit > 0 else None,
            stop_price=instrument.price(stop) if stop > 0 else None,
            denial="" if deny == Reason.NONE else REASONS[deny],
        )

    def _decide(self, member: Member, leg: int, at: int) -> None:
        """Settle one decision by the rules."""
        tape = member.simulation.tape
        sized = tape.sized[leg]
        tape.reasons[int(sized.reason)] += 1
        if not self._is_granted(member, leg, at):
            return
        deny = member.carry_out(leg)
        if deny != Reason.NONE:
            tape.denials[deny] += 1
        if sized.kind == DecisionKind.ENTER:
            count_barren(member.worlds[int(sized.symbol)], deny)

    def _is_granted(self, member: Member, leg: int, at: int) -> bool:
        """Say whether one decision may live, and note why not; its limit may be moved."""
        proposal = self._proposal(member, leg)
        sized = member.simulation.tape.sized[leg]
        market = int(sized.symbol)
        self._terms["decisions"][0] += 1
        if proposal.denial:
            self._note_denial(member, proposal, at)
            return False
        if proposal.kind in _ENTERING:
            verdict = self.referee.judge(
                member,
                market,
                proposal,
                at=at,
                unallocated=self._purse.unallocated,
                room=None if self._guard is None else self._guard.room(self.referee, at),
                stance=self._stance,
            )
            if verdict.refusal is not None:
                member.refusals[verdict.refusal.code] += 1
                return False
            self._terms["granted"][0] += 1
            if verdict.limit_price is not None:
                sized.limit_ticks = member.instruments[market].ticks(verdict.limit_price)
        return True

    def _note_denial(self, member: Member, proposal: Proposal, at: int) -> None:
        # A book whose turn it is not has no money to size an entry by: the turn is the reason, not the size.
        codes = self.referee.turn_codes(at=at, stance=self._stance)
        member.refusals[(proposal.is_entry and codes[member.number - 1]) or proposal.denial] += 1


def stretches(asked: Sequence[tuple[Record, int]]) -> list[tuple[int, int, int]]:
    """Put the sized decisions of several bots, by rank, into the order of `arbitration_order`: (bot, first, last) of stretches.

    What a bot decided before its first entry comes before all that the others decided from theirs on.
    """
    entries = [(k, first_entry(sized, count), count) for k, (sized, count) in enumerate(asked)]
    early = [(k, 0, entry) for k, entry, _ in entries if entry > 0]
    return early + [(k, entry, count) for k, entry, count in entries if entry < count]


def _known_turn(at_first: str, after: str, before: str) -> _Turn:
    """Put together what the rules say of a bot at the first moment of a stretch, right after it and right before its end."""
    later = UNKNOWN if after != before else AWAY if after else OPEN_TURN
    code = after if later == AWAY else at_first
    # All that is turned away in a stretch is counted by one code; what is open at once is left to the rules.
    return _Turn(AWAY if at_first and at_first == code else UNKNOWN, later, code)
