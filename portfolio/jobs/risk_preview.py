"""Say what limits would do now, before anybody sets them: the real gate is asked with them, and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from marketdata.models import Instrument
from portfolio.jobs.risk import market_time
from portfolio.models import Account, Position
from portfolio.selectors.risk import newest_limits, values_of, volumes_wanted
from portfolio.selectors.worth import consistent_read
from portfolio.writers.store import open_desk
from trading.desk.desk import Desk
from trading.desk.risk_rules import risk_refusal, standings
from trading.desk.rows import ENTER
from trading.ledger import ZERO, exactly, floor_to
from trading.proposals import COLLAR
from trading.risk import HARD_STOP, LIMITS_MISSING, UNPRICED, Limits, RiskRoom, Standing, overlay, raised

_PROBED_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What would become of a book, or with no book of the account itself."""

    book_id: int | None
    name: str
    # Why the smallest order that its exchange takes is refused in each of its markets, now and with the limits; empty: taken.
    refused_now: Mapping[str, str]
    refused_then: Mapping[str, str]
    # Whether its loss of today is beyond its hard cap, so that everything is sold.
    is_sold_now: bool
    is_sold_then: bool
    left_now: Decimal
    left_then: Decimal

    @property
    def sentence(self) -> str:
        """Say what would change; empty when nothing does."""
        if self.is_sold_then and not self.is_sold_now:
            return f"{self.name} would be sold out and shut: its loss of today is beyond its hard cap."
        newly = {symbol: code for symbol, code in self.refused_then.items() if code and not self.refused_now[symbol]}
        if newly:
            where = "" if len(newly) == len(self.refused_then) else f" in {', '.join(sorted(newly))}"
            return f"{self.name} could not enter{where} ({', '.join(sorted(set(newly.values())))})."
        freed = [symbol for symbol, code in self.refused_now.items() if code and not self.refused_then[symbol]]
        return f"{self.name} could enter again in {', '.join(sorted(freed))}." if freed else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What limits would do: to the account, and to each of its books."""

    # Limits that would allow more than now, by whom they are of: the key None is the account.
    raised: Mapping[int | None, Sequence[str]]
    rows: Sequence[Foreseen] = field(default_factory=tuple)


@exactly
def foresee(account_id: int, changes: Mapping[int | None, Mapping[str, Any]], *, now: datetime) -> Forecast:
    """Ask the gate with these changes of limits, by book, None for the account; raises LimitsInvalid."""
    with consistent_read():
        account = Account.objects.select_related("market").get(id=account_id)
        desk = open_desk(account, market_at=market_time(account) or now, now=now, is_locked=False)
        room_now = desk.risk
        assert room_now is not None
        limits, of_books = _limits_with(account_id, room_now, changes)
        lifted: dict[int | None, Sequence[str]] = {None: raised(room_now.limits, limits)}
        for book_id in desk.books:
            before, after = room_now.book_limits.get(book_id, room_now.limits), of_books.get(book_id, limits)
            lifted[book_id] = raised(before, after)
        latches = {key: code for key, code in room_now.latches.items() if code != LIMITS_MISSING}
        volumes = volumes_wanted(account, desk.market_at, (limits, *of_books.values()))
        room_then = replace(room_now, limits=limits, book_limits=of_books, latches=latches, volumes=volumes)
        markets = _markets(account, desk)
        now_rows, then_rows = _probe(desk, room_now, markets), _probe(desk, room_then, markets)
        names = {None: account.name} | {pk: book.name for pk, book in desk.books.items()}
        standings_now, standings_then = standings(desk, room_now), standings(desk, room_then)
        rows = [
            Foreseen(
                book_id=key,
                name=names[key],
                refused_now=now_rows.get(key, {}),
                refused_then=then_rows.get(key, {}),
                is_sold_now=_is_sold(room_now, standings_now[key], key),
                is_sold_then=_is_sold(room_then, standings_then[key], key),
                left_now=standings_now[key].left,
                left_then=standings_then[key].left,
            )
            for key in (None, *sorted(desk.books))
        ]
    return Forecast(raised={key: names for key, names in lifted.items() if names}, rows=rows)


def _limits_with(
    account_id: int, room: RiskRoom, changes: Mapping[int | None, Mapping[str, Any]]
) -> tuple[Limits, dict[int, Limits]]:
    limits = overlay(room.limits, changes.get(None, {}))
    own = {row.book_id: values_of(row) for row in newest_limits(account_id) if row.book_id is not None}
    books = own.keys() | {key for key in changes if key is not None}
    return limits, {book: overlay(overlay(limits, own.get(book, {})), changes.get(book, {})) for book in books}


def _is_sold(room: RiskRoom, standing: Standing, key: int | None) -> bool:
    return standing.is_beyond_hard or room.latches.get(key) == HARD_STOP


def _markets(account: Account, desk: Desk) -> dict[int, list[Instrument]]:
    """Return the pairs that each book has traded; who has traded none is asked about those that the feed follows."""
    followed = Instrument.objects.filter(market=account.market_id, subscriptions__isnull=False, mark__isnull=False).distinct()
    common = list(followed.order_by("symbol")[:_PROBED_MAX])
    found: dict[int, list[Instrument]] = {book_id: [] for book_id in desk.books}
    for position in Position.objects.filter(book__account=account).select_related("instrument").order_by("instrument__symbol"):
        found[position.book_id].append(position.instrument)
    return {book_id: pairs[:_PROBED_MAX] or common for book_id, pairs in found.items()}


def _probe(desk: Desk, room: RiskRoom, markets: Mapping[int, Sequence[Instrument]]) -> dict[int | None, dict[str, str]]:
    """Ask the gate for the smallest entry of each book in each of its markets."""
    desk.risk = room
    return {book_id: {pair.symbol: _refusal(desk, book_id, pair) for pair in pairs} for book_id, pairs in markets.items()}


def _refusal(desk: Desk, book_id: int, pair: Instrument) -> str:
    mark = desk.mark(pair.pk)
    if mark is None:
        return UNPRICED
    intent = desk.store.make_intent(
        book_id=book_id,
        kind=ENTER,
        instrument=desk.instrument(pair.pk),
        side="buy",
        slot=0,
        lots=max(_whole(pair.quantity_min, pair.lot_size), _whole(pair.notional_min, pair.lot_size * mark)),
        limit_price=floor_to(mark * COLLAR, pair.tick_size),
        expected_price=mark,
        reason="PREVIEW",
        market_at=desk.market_at,
    )
    refusal = risk_refusal(desk, intent)
    return "" if refusal is None else refusal.code


def _whole(amount: Decimal, part: Decimal) -> int:
    """Count the parts that it takes to come to an amount."""
    count, rest = divmod(amount, part)
    return int(count) + (rest > ZERO)
