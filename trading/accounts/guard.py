"""The caps of the day on a simulated account: what account and books began with, and who is shut until tomorrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

from trading.accounts.member import Member
from trading.accounts.referee import Referee
from trading.bars import Times
from trading.desk.desk import Desk
from trading.desk.dust import loss_floor
from trading.ledger import ZERO, exactly
from trading.risk import HARD_STOP, REFUSE, DayStart, Limits, RiskRoom, Standing, cap_of, capital_since, shrunk_start


class _Caps(NamedTuple):
    """What the rules make of the day's start and the capital since: the loss of a book worth nothing, and how far it may fall."""

    start: DayStart
    flows: Decimal
    loss: Decimal
    hard_cap: Decimal
    soft_floor: float
    hard_floor: float


@dataclass(slots=True)
class Guard:
    """Keeps the starts of the day and the latches; the key None is the account.

    A latch is released at midnight UTC: a simulation has nobody to look, and this is what an operator who looks once a day does.
    """

    limits: Limits
    members: Sequence[Member]
    starts: dict[int | None, DayStart] = field(default_factory=dict)
    latches: dict[int | None, str] = field(default_factory=dict)
    # Entries in a row that gave no position, by market of the bots in their order.
    barren: Times = field(kw_only=True)
    stops: list[tuple[int, int | None]] = field(default_factory=list)
    # What came to the account from outside less what left it.
    net_flows: Decimal = ZERO
    # No dust of all books together is worth so much.
    dust_max: Decimal = field(init=False)
    _caps: dict[int | None, _Caps] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Find out what dust may come to."""
        self.dust_max = sum((one.min_notional for member in self.members for one in member.instruments), ZERO)

    @exactly
    def open_day(self, at: int, unallocated: Decimal) -> None:
        """Write down what the day begins with."""
        worths = self._worths(at, unallocated)
        self.starts = {key: DayStart(worth, self._flows(key)) for key, worth in worths.items()}
        self.latches = {}
        self.barren[:] = 0

    @exactly
    def moved(self, member: Member, moved: Decimal, at: int) -> None:
        """Have the start of a book's day follow capital that is about to move."""
        start = self.starts.get(member.number)
        # Capital that comes leaves the start as it is: nobody has to know the book's worth then.
        if start is not None and moved < ZERO:
            self.starts[member.number] = shrunk_start(
                start, net_flows=member.net_flows, worth_before=member.worth(at), moved=moved
            )

    def room(self, referee: Referee, at: int) -> RiskRoom:
        """Lay out what the risk rules must know."""
        markets = [(member, market) for member in self.members for market in range(len(member.instruments))]
        return RiskRoom(
            limits=self.limits,
            book_limits={},
            starts=self.starts,
            net_flows={key: self._flows(key) for key in (None, *(member.number for member in self.members))},
            prices=referee.prices(at),
            closes=referee.closes(at),
            latches=self.latches,
            barren={
                (member.number, referee.instrument_id(member, market)): int(count)
                for (member, market), count in zip(markets, self.barren, strict=True)
            },
            sold_lately=referee.sold_lately(at) if self.limits.opposite_positions == REFUSE else frozenset(),
        )

    @exactly
    def floors(self, at: int, *, is_sure: bool = True) -> dict[int | None, float]:
        """Answer the worth at which account and books may be beyond their hard cap, of those that are not shut yet.

        What is held by then may make it dust or not: unless the moment is sure, dust is not considered.
        """
        found: dict[int | None, float] = {}
        if None in self.latches:
            return found
        for key, caps in self._known_caps().items():
            if key in self.latches:
                continue
            if is_sure and ZERO < caps.hard_cap < self.dust_max:
                found[key] = float(caps.loss - max(caps.hard_cap, self._dust_least(key, at)))
            elif caps.hard_cap > ZERO:
                found[key] = caps.hard_floor
        return found

    @exactly
    def shut(self, at: int, desk: Desk, unallocated: Decimal) -> list[int | None]:
        """Latch whatever is beyond its hard cap now, dust considered; answer what is new."""
        worths = self._worths(at, unallocated)
        beyond = []
        for key in self.floors(at):
            floor = loss_floor(desk, desk.books if key is None else (key,))
            if replace(self._standing(key, worths[key]), floor=floor).is_beyond_hard:
                beyond.append(key)
        for key in beyond:
            self.latches[key] = HARD_STOP
            self.stops.append((at, key))
        return beyond

    @exactly
    def soft_floors(self) -> dict[int | None, float]:
        """Answer the worths below which books and account may not plan to fall today."""
        return {key: caps.soft_floor for key, caps in self._known_caps().items()}

    def _known_caps(self) -> dict[int | None, _Caps]:
        """Return what the rules make of each day's start, anew only where that or the capital has changed."""
        found = self._caps
        for key, start in self.starts.items():
            flows = self.net_flows if key is None else self.members[key - 1].net_flows
            known = found.get(key)
            if known is None or known.start is not start or known.flows != flows:
                found[key] = self._make_caps(start, flows)
        return found

    def _make_caps(self, start: DayStart, flows: Decimal) -> _Caps:
        loss = capital_since(start, flows)
        base = max(ZERO, loss)
        hard_cap = cap_of(base, self.limits.hard_loss_percent)
        soft_floor = float(loss - cap_of(base, self.limits.soft_loss_percent))
        return _Caps(start, flows, loss, hard_cap, soft_floor, hard_floor=float(loss - hard_cap))

    def _standing(self, key: int | None, equity: Decimal) -> Standing:
        return Standing(limits=self.limits, start=self.starts[key], equity=equity, net_flows=self._flows(key), worst_open=ZERO)

    def _dust_least(self, key: int | None, at: int) -> Decimal:
        """Return a loss below which nothing could be saved: what is held is dust, and nothing is being bought."""
        members = [member for member in self.members if key in (None, member.number)]
        if any(member.is_buying or member.sellable(at) for member in members):
            return ZERO
        return sum(
            (
                instrument.min_notional
                for member in members
                for market, instrument in enumerate(member.instruments)
                if member.quantity(market) > ZERO
            ),
            ZERO,
        )

    def _worths(self, at: int, unallocated: Decimal) -> dict[int | None, Decimal]:
        books: dict[int | None, Decimal] = {member.number: member.worth(at) for member in self.members}
        return {None: unallocated + sum(books.values(), ZERO)} | books

    def _flows(self, key: int | None) -> Decimal:
        # What moves inside the account is a flow of its books alone.
        return self.net_flows if key is None else self.members[key - 1].net_flows
