"""Choose how the bots of an account share it: one at a time, in turns, or each with its part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import transaction

from portfolio import doorbells
from portfolio.asking import demand_confirmation
from portfolio.jobs import modes as jobs
from portfolio.jobs.risk import market_time
from portfolio.models import Account, Book, ModeVersion
from portfolio.selectors import modes as reading
from portfolio.selectors.allocations import slices_at
from portfolio.services.allocations import set_allocations
from portfolio.writers import accounts, audit, books
from portfolio.writers import modes as writing
from portfolio.writers.modes import Choice
from portfolio.writers.store import open_desk
from stream.publish import publish_on_commit
from trading.desk.desk import Desk
from trading.desk.dust import can_be_sold
from trading.desk.mode_rules import book_facts, worth_of
from trading.handover import EXCLUSIVE, Mode
from trading.ledger import ZERO, Pocket, exactly, plain
from trading.rotation import BotNeeds, Finding, Policy, Rotation, Turn, check_rotation, turn_at
from trading.rotation_text import print_rotation
from trading.settlement import UNALLOCATED

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class UnableToSwitch(Exception):
    """Raised when a mode is refused; carries a reason code and what is in the way."""

    def __init__(self, code: str, message: str, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.findings = findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What a switch would do to one holding of a book that leaves."""

    book: str
    symbol: str
    quantity: Decimal
    value: Decimal
    # sold, kept, handed_on or waits
    fate: str
    heir: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a switch would do now."""

    mode: str
    incoming: tuple[str, ...]
    outgoing: tuple[str, ...]
    entries_cancelled: int
    fates: tuple[Fate, ...]
    # What the one whose turn it is would be sized by at most; none where every book has its share.
    sized_by: Decimal | None
    findings: tuple[Finding, ...] = ()
    unknown_orders: tuple[str, ...] = ()


def set_mode(
    *,
    account_id: int,
    choice: Choice,
    needs: Mapping[str, BotNeeds],
    by: User | None,
    now: datetime,
    reason: str = "",
    request_id: str = "",
    market_at: datetime | None = None,
    holder: str = "",
) -> ModeVersion:
    """Share the account in another way; who has to leave hands over by the policy, and the mode in force again changes nothing.

    Refused while nobody knows what has become of an order: it names the orders that are in the way (I-38). `holder` is for
    whoever keeps others from changing it.
    """
    with transaction.atomic():
        account = accounts.lock(account_id)
        _demand_free(account_id, holder)
        market_at = _check(account, choice, needs, market_at)
        before = reading.newest_version(account_id)
        if before is not None and facts_of(before) == _facts(choice):
            return before
        if account.mode == Account.Mode.LIVE:
            demand_confirmation("change who trades with real money")
        if choice.mode in EXCLUSIVE:
            books.forget_pending(account)
        version = writing.record_version(account, choice, by=by, reason=reason, market_at=market_at, now=now)
        was = account.allocation_mode
        account.allocation_mode = str(choice.mode)
        turn, incoming = _incoming(account, choice, market_at)
        row = jobs.begin(account, version, incoming=incoming, turn=turn, market_at=market_at, now=now)
        desk = open_desk(account, market_at=market_at, now=now)
        jobs.advance(desk, account, row, now=now)
        desk.write()
        audit.record(
            action="mode.set",
            subject=f"account:{account_id}",
            actor=by,
            before={"mode": was} if before is None else facts_of(before),
            after=facts_of(version) | {"reason": reason, "version": version.number},
            now=now,
            request_id=request_id,
        )
        accounts.changed(account, "allocation_mode")
        accounts.wake_trader(account_id, "orders")
        publish_on_commit("allocation", "changed", {"account": account_id}, seq=account.version)
        if choice.mode == Mode.PERCENTAGE and was in EXCLUSIVE:
            _share_out(account_id, by=by, now=now, market_at=market_at, request_id=request_id)
        return version


@exactly
def preview_mode(*, account_id: int, choice: Choice, needs: Mapping[str, BotNeeds], now: datetime) -> Preview:
    """Show what `set_mode` would do now: who leaves, what becomes of each holding, what the next bot is sized by."""
    account = Account.objects.select_related("market").get(id=account_id)
    market_at = market_time(account) or now
    _check_books(account, choice)
    findings = () if choice.rotation is None else _findings(account, choice.rotation, needs)
    if any(finding.is_refusal for finding in findings):
        incoming: frozenset[int] = frozenset()
    else:
        _, incoming = _incoming(account, choice, market_at)
    desk = open_desk(account, market_at=market_at, now=now, is_locked=False)
    outgoing = sorted(reading.active_books(account) - incoming)
    traded = choice.traded or {}
    facts = [book_facts(desk, book_id, incoming=incoming, traded=traded) for book_id in outgoing]
    names = {book_id: book.name for book_id, book in desk.books.items()}
    total = sum((worth_of(desk, book_id) for book_id in desk.books), ZERO) + desk.journal.balance(
        Pocket(UNALLOCATED, None, account.quote_asset)
    )
    return Preview(
        mode=str(choice.mode),
        incoming=tuple(names[book_id] for book_id in sorted(incoming)),
        outgoing=tuple(names[book_id] for book_id in outgoing),
        entries_cancelled=sum(row.entries for row in facts),
        fates=tuple(fate for book_id in outgoing for fate in _fates(desk, book_id, choice, incoming, names)),
        sized_by=min(choice.budget or total, total) if choice.mode in (Mode.SINGLE, Mode.ROTATION) else None,
        findings=findings,
        unknown_orders=tuple(reading.unknown_orders(account_id)),
    )


def facts_of(version: ModeVersion) -> dict[str, Any]:
    """Say what a version chose, as the audit and a comparison need it."""
    is_rotation = version.mode == Mode.ROTATION
    return {
        "mode": version.mode,
        "book": version.book_id,
        "budget": None if version.budget is None else plain(version.budget),
        "rotation": print_rotation(reading.rotation_of(version)) if is_rotation else "",
        "traded": version.traded,
    }


def _facts(choice: Choice) -> dict[str, Any]:
    return {
        "mode": str(choice.mode),
        "book": choice.book_id,
        "budget": None if choice.budget is None else plain(choice.budget),
        "rotation": "" if choice.rotation is None else print_rotation(choice.rotation),
        "traded": {str(book_id): sorted(rows) for book_id, rows in sorted((choice.traded or {}).items())},
    }


def _demand_free(account_id: int, holder: str) -> None:
    """Refuse while somebody else needs the mode as it is."""
    for ask in doorbells.mode_held:
        held = ask(account_id=account_id)
        if held is not None and held.holder != holder:
            raise UnableToSwitch(held.code, held.message)


def _check(account: Account, choice: Choice, needs: Mapping[str, BotNeeds], market_at: datetime | None) -> datetime:
    """Refuse what cannot be done now; answer the market time at which it is done."""
    _check_books(account, choice)
    if choice.rotation is not None:
        refusals = tuple(finding for finding in _findings(account, choice.rotation, needs) if finding.is_refusal)
        if refusals:
            raise UnableToSwitch(refusals[0].code, " ".join(finding.message for finding in refusals), refusals)
    unknown = reading.unknown_orders(account.pk)
    if unknown:
        raise UnableToSwitch(
            "MODE_ORDERS_UNKNOWN",
            f"Nobody knows yet what has become of {', '.join(unknown)}: the mode can change when the trader has found out.",
        )
    market_at = market_at or market_time(account)
    if market_at is None:
        raise UnableToSwitch("DATA_STALE", f"{account.name} has no market time yet: start its feed and its trader first.")
    return market_at


def _check_books(account: Account, choice: Choice) -> None:
    if (choice.mode == Mode.SINGLE) != (choice.book_id is not None) or (choice.mode == Mode.ROTATION) != (
        choice.rotation is not None
    ):
        raise UnableToSwitch("MODE_INCOMPLETE", "Single mode needs a bot, rotation its slots, and no other mode takes either.")
    named = {choice.book_id} if choice.book_id is not None else set[int]()
    if choice.rotation is not None:
        named |= {int(slot.bot) for slot in choice.rotation.slots if slot.bot.isdecimal()}
    missing = named - set(Book.objects.filter(account=account).values_list("id", flat=True))
    if missing:
        raise UnableToSwitch("BOOK_UNKNOWN", f"This account has no book {min(missing)}.")
    if choice.mode == Mode.SUBACCOUNTS:
        _demand_sub_accounts(account)
    if choice.budget is not None and not (choice.budget.is_finite() and choice.budget > ZERO):
        raise UnableToSwitch("MODE_BUDGET_BAD", f"The budget must be an amount above zero, not {choice.budget}.")
    if (choice.policy == Policy.WAIT) != (choice.wait_minutes > 0):
        raise UnableToSwitch("MODE_WAIT_BAD", "Say how long to wait for flat, if holdings wait, and only then.")


def _demand_sub_accounts(account: Account) -> None:
    """Refuse to have nobody trade: the bots need sub-accounts of their own first."""
    if account.master_id is not None:
        raise UnableToSwitch("MODE_NOT_MASTER", f"{account.name} is a sub-account itself: choose this mode for its master.")
    if not Book.objects.filter(account__master=account, account__is_enabled=True).exists():
        raise UnableToSwitch(
            "SUBACCOUNTS_NONE",
            f"{account.name} has no sub-account with a bot: open some first, `manage.py sub_accounts open A`.",
        )


def _findings(account: Account, rotation: Rotation, needs: Mapping[str, BotNeeds]) -> tuple[Finding, ...]:
    """Check a rotation in the names that people know."""
    names = {str(book.pk): book.name for book in Book.objects.filter(account=account)}
    slots = tuple(replace(slot, bot=names.get(slot.bot, slot.bot)) for slot in rotation.slots)
    named = {names.get(bot, bot): need for bot, need in needs.items()}
    return tuple(check_rotation(replace(rotation, slots=slots), named))


def _incoming(account: Account, choice: Choice, market_at: datetime) -> tuple[Turn | None, frozenset[int]]:
    """Answer who trades at this moment, and until when."""
    if choice.mode == Mode.SINGLE:
        assert choice.book_id is not None
        return None, frozenset({choice.book_id})
    if choice.mode == Mode.ROTATION:
        assert choice.rotation is not None
        turn = turn_at(choice.rotation, market_at)
        return turn, frozenset({int(turn.bot)} if turn.bot else ())
    if choice.mode == Mode.SUBACCOUNTS:
        return None, frozenset()
    return None, frozenset(Book.objects.filter(account=account).values_list("id", flat=True))


def _share_out(account_id: int, *, by: User | None, now: datetime, market_at: datetime, request_id: str) -> None:
    """Give every book its share again, from what the account is worth now; also those whose share is locked."""
    slices = slices_at(account_id)
    if not any(part.percent for part in slices.values()):
        return
    locked = {book_id for book_id, part in slices.items() if part.is_locked}
    asked: dict[str, Any] = {
        "by": by,
        "now": now,
        "market_at": market_at,
        "request_id": request_id,
        "note": "Back to percentages",
    }
    percents = {book_id: part.percent for book_id, part in slices.items()}
    set_allocations(account_id=account_id, percents=percents, locks=dict.fromkeys(locked, False), rebase=True, **asked)
    if locked:
        set_allocations(account_id=account_id, percents={}, locks=dict.fromkeys(locked, True), **asked)


def _fates(desk: Desk, book_id: int, choice: Choice, incoming: frozenset[int], names: Mapping[int, str]) -> list[Fate]:
    heir = next(iter(incoming)) if len(incoming) == 1 else None
    fates = []
    for position in desk.positions_of(book_id):
        if not can_be_sold(desk, position):
            continue
        passes = heir is not None and position.instrument_id in (choice.traded or {}).get(heir, ())
        fate = {Policy.CARRY: "kept", Policy.WAIT: "waits"}.get(choice.policy, "sold")
        fate = "handed_on" if choice.policy == Policy.TRANSFER and passes else fate
        fates.append(
            Fate(
                book=names[book_id],
                symbol=desk.instrument(position.instrument_id).symbol,
                quantity=position.quantity,
                value=position.quantity * (desk.mark(position.instrument_id) or ZERO),
                fate=fate,
                heir=names[heir] if fate == "handed_on" and heir is not None else "",
            )
        )
    return fates
