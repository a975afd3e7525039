"""What can be read about modes: who may enter now, who comes next, and what each hour of the day has earned."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import Count, Sum
from django.db.models.functions import ExtractHour

from portfolio.models import Account, Book, BookTransfer, Fill, HandOver, ModeVersion, Order, RotationSlot
from trading import handover
from trading.handover import EXCLUSIVE, Mode, Phase, Stance
from trading.ledger import ZERO, exactly
from trading.rotation import IDLE, Policy, Rotation, Slot, Switch, Turn, next_switches, turn_at

UNSETTLED = (str(Phase.CLOSING), str(Phase.RELEASING))


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned:
    """What a book made in one hour of the day: net of fees, with how many fills."""

    book_id: int
    hour: int
    realised: Decimal
    fees: Decimal
    fills: int


def newest_version(account_id: int) -> ModeVersion | None:
    """Return the mode in force; none where nobody ever chose one, which means percentage."""
    rows = ModeVersion.objects.filter(account=account_id).select_related("book", "set_by")
    return rows.order_by("-number").first()


def versions(account_id: int, *, limit: int = 20) -> list[ModeVersion]:
    """Return the newest choices of a mode, newest first."""
    rows = ModeVersion.objects.filter(account=account_id).select_related("book", "set_by").prefetch_related("slots__book")
    return list(rows.order_by("-number")[:limit])


def newest_hand_over(account_id: int) -> HandOver | None:
    """Return the hand-over that says who may enter."""
    return HandOver.objects.filter(account=account_id).select_related("version").order_by("-epoch").first()


def hand_overs(account_id: int, *, limit: int = 20) -> list[HandOver]:
    """Return the newest hand-overs, newest first."""
    return list(HandOver.objects.filter(account=account_id).select_related("version").order_by("-epoch")[:limit])


def hand_over_of(row: HandOver) -> handover.HandOver:
    """Return a hand-over as the rules know it."""
    return handover.HandOver(
        epoch=row.epoch,
        incoming=frozenset(row.incoming),
        outgoing=frozenset(row.outgoing),
        policy=Policy(row.policy),
        began_at=row.began_at,
        wait_until=row.wait_until,
        phase=Phase(row.phase),
        settled_at=row.settled_at,
    )


def rotation_of(version: ModeVersion) -> Rotation:
    """Return the slots of a version as rules; a bot is the number of its book."""
    return Rotation(zone=version.zone, slots=tuple(_slot(row) for row in version.slots.all()), is_gap_idle=version.is_gap_idle)


def turn_after(row: HandOver, at: datetime) -> tuple[Turn, handover.HandOver] | None:
    """Answer whose turn it is once that of a hand-over is over, and the hand-over to it; the same one where the book stays."""
    if row.turn_until is None or at < row.turn_until or row.version.mode != Mode.ROTATION:
        return None
    turn, known = turn_at(rotation_of(row.version), at), hand_over_of(row)
    incoming = frozenset({int(turn.bot)} if turn.bot else ())
    if incoming == known.incoming:
        return turn, known
    begun = handover.begin(
        known,
        active=known.incoming if known.is_settled else frozenset(),
        incoming=incoming,
        policy=Policy(row.policy_after),
        at=at,
        wait_minutes=row.wait_minutes_after,
    )
    return turn, begun


def hand_over_at(account: Account) -> Callable[[datetime], handover.HandOver | None]:
    """Return what says under which hand-over a candle of an account closes, whether anybody has begun that one yet or not."""
    row = newest_hand_over(account.pk) if account.allocation_mode in EXCLUSIVE else None

    def find(closed_at: datetime) -> handover.HandOver | None:
        if row is None:
            return None
        after = turn_after(row, closed_at)
        return hand_over_of(row) if after is None else after[1]

    return find


def stance_of(account: Account) -> Stance | None:
    """Return whose turn it is; none where every book has its share."""
    if account.allocation_mode not in EXCLUSIVE:
        return None
    row = newest_hand_over(account.pk)
    if row is None:
        # A mode was set behind the services' back: then nobody enters.
        return Stance(mode=Mode(account.allocation_mode), epoch=0, phase=Phase.CLOSING, active=frozenset())
    return Stance(
        mode=Mode(account.allocation_mode),
        epoch=row.epoch,
        phase=Phase(row.phase),
        active=frozenset(row.incoming),
        since=row.settled_at,
        until=row.turn_until,
    )


def active_books(account: Account) -> frozenset[int]:
    """Return the books that may enter as far as the mode goes."""
    if account.allocation_mode not in EXCLUSIVE:
        return frozenset(Book.objects.filter(account=account).values_list("id", flat=True))
    stance = stance_of(account)
    return stance.active if stance is not None and stance.phase == Phase.SETTLED else frozenset()


def books_of_sub_accounts(master_id: int) -> list[str]:
    """Name the books of a master's sub-accounts in use."""
    rows = Book.objects.filter(account__master=master_id, account__is_enabled=True).order_by("account", "number")
    return list(rows.values_list("name", flat=True))


def upcoming(account_id: int, *, after: datetime, count: int = 5) -> list[Switch]:
    """Return the next moments at which the account passes on; a bot is the number of its book."""
    version = newest_version(account_id)
    if version is None or version.mode != Mode.ROTATION:
        return []
    return next_switches(rotation_of(version), after, count)


def unknown_orders(account_id: int) -> list[str]:
    """Name the orders of which nobody knows whether the exchange has them."""
    rows = Order.objects.filter(account=account_id, status=Order.Status.UNKNOWN).order_by("id")
    return list(rows.values_list("client_order_id", flat=True))


@exactly
def earned_by_hour(account_id: int, *, zone: str, since: datetime | None = None) -> list[Earned]:
    """Return what each book realised in each hour of the day, on the clock of a place, net of fees."""
    where = {} if since is None else {"traded_at__gte": since}
    fills = (
        Fill.objects.filter(account=account_id, book__isnull=False, **where)
        .annotate(hour=ExtractHour("traded_at", tzinfo=ZoneInfo(zone)))
        .order_by()
        .values_list("book", "hour")
        .annotate(made=Sum("realised"), paid=Sum("fee_quote"), count=Count("id"))
    )
    found = {(book, hour): Earned(book_id=book, hour=hour, realised=made, fees=paid, fills=count)
             for book, hour, made, paid, count in fills}  # fmt: skip
    for book, hour, made in _realised_on_passing(account_id, zone, since):
        earned = found.get((book, hour)) or Earned(book_id=book, hour=hour, realised=ZERO, fees=ZERO, fills=0)
        found[book, hour] = Earned(book_id=book, hour=hour, realised=earned.realised + made, fees=earned.fees, fills=earned.fills)
    return [found[key] for key in sorted(found)]


def transfer_values(account_id: int) -> dict[int, Decimal]:
    """Return the worth in kind that came to each book, less what left it."""
    flows: dict[int, Decimal] = {}
    rows = BookTransfer.objects.filter(hand_over__account=account_id)
    for before, after, value in rows.values_list("book_before_id", "book_after_id", "value"):
        flows[before] = flows.get(before, ZERO) - value
        flows[after] = flows.get(after, ZERO) + value
    return flows


def traded_by(version: ModeVersion) -> Mapping[int, Collection[int]]:
    """Return the instruments of each book, as its bot said when the mode was chosen."""
    return {int(book_id): instruments for book_id, instruments in version.traded.items()}


def _slot(row: RotationSlot) -> Slot:
    return Slot(
        days=frozenset(day for day in range(7) if row.days >> day & 1),
        begin_minute=row.begin_minute,
        end_minute=row.end_minute,
        bot=IDLE if row.book_id is None else str(row.book_id),
        policy=Policy(row.policy),
        wait_minutes=row.wait_minutes,
    )


def _realised_on_passing(account_id: int, zone: str, since: datetime | None) -> list[tuple[int, int, Decimal]]:
    rows = BookTransfer.objects.filter(hand_over__account=account_id)
    if since is not None:
        rows = rows.filter(market_at__gte=since)
    hours = rows.annotate(hour=ExtractHour("market_at", tzinfo=ZoneInfo(zone))).order_by()
    return list(hours.values_list("book_before", "hour").annotate(made=Sum("realised")))
