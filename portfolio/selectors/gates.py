"""Everything that stands between a book and its next entry, gate by gate: its state, the facts, what would change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from portfolio.models import Account, Book, Heartbeat
from portfolio.running import CODE_DIFFERS
from portfolio.selectors.modes import stance_of
from portfolio.selectors.numbers import AccountOverview, BookNumbers
from trading.handover import EXCLUSIVE, Phase, Stance
from trading.ledger import ZERO, exactly, plain

FRESH_FOR: Final = timedelta(seconds=15)
# In this mode nobody trades on the account itself.
_TURN_REMEDIES: Final = {"subaccounts": "In this mode bots trade in their sub-accounts: look there, or change the mode."}
_MONEY_REMEDIES: Final = {"subaccounts": "In this mode the bots of the sub-accounts have the money."}
OPEN: Final = "open"
SHUT: Final = "shut"
_ANOTHER_MARKET: Final = "Another market's account is in use; start with this one's market."
_DISABLED: Final = {"BOOKS_CLOSED": "Its exchange was reset: other books have followed, and these stay as they were."}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One condition of an entry; `link` is the page (and part) with the field that would change it."""

    name: str
    is_open: bool
    code: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    link: str = ""

    @property
    def state(self) -> str:
        """Return the gate's state in a word."""
        return OPEN if self.is_open else SHUT


@exactly
def account_gates(account: Account, *, now: datetime) -> list[Gate]:
    """Return the gates that all books of an account share."""
    is_tradable = account.state == Account.State.ACTIVE
    return [
        Gate(
            name="account in use",
            is_open=account.is_enabled,
            code="" if account.is_enabled else "ACCOUNT_DISABLED",
            remedy="" if account.is_enabled else _DISABLED.get(account.state_reason, _ANOTHER_MARKET),
            link="/system/",
        ),
        Gate(
            name="kill switch",
            is_open=not account.is_killed,
            code="KILL_ACTIVE" if account.is_killed else "",
            facts={"reason": account.killed_reason} if account.is_killed else {},
            remedy="An administrator releases it, with a reason." if account.is_killed else "",
            link="/risk/",
        ),
        Gate(
            name="account state",
            is_open=is_tradable,
            code="" if is_tradable else account.state_reason or account.state.upper(),
            facts={"state": account.state},
            remedy=state_remedy(account),
            link="/reconcile/",
        ),
        trader_gate(account, now=now),
    ]


def trader_gate(account: Account, *, now: datetime) -> Gate:
    """Say whether the account's trader is alive."""
    # Processes name themselves with a colon or a space.
    names = (f"trader:{account.pk}", f"trader {account.pk}")
    beat = Heartbeat.objects.filter(process__in=names).order_by("-beat_at").first()
    is_alive = beat is not None and now - beat.beat_at <= FRESH_FOR
    return Gate(
        name="trader",
        is_open=is_alive,
        code="" if is_alive else "TRADER_AWAY",
        facts={} if beat is None else {"last_sign_of_life": beat.beat_at.isoformat()},
        remedy="" if is_alive else "Start it: `manage.py up`, or `manage.py trader`.",
        link="/system/",
    )


@exactly
def book_gates(
    account: Account, overview: AccountOverview, risk_rows: Mapping[int | None, Mapping[str, Any]]
) -> dict[int, list[Gate]]:
    """Return the gates of each book of an account: mode, halt, share, capital on its way out, risk."""
    stance = stance_of(account)
    books = {book.pk: book for book in Book.objects.filter(account=account)}
    return {
        numbers.book_id: [
            _turn(account, stance, books, numbers.book_id),
            _halt(books[numbers.book_id]),
            _share(books[numbers.book_id], numbers, account),
            _capital(books[numbers.book_id], numbers),
            *_risk(risk_rows, numbers.book_id),
        ]
        for numbers in overview.books
    }


def _turn(account: Account, stance: Stance | None, books: Mapping[int, Book], book_id: int) -> Gate:
    mode = account.allocation_mode
    if stance is None or stance.mode not in EXCLUSIVE:
        return Gate(name="mode", is_open=True, facts={"mode": mode}, link="/modes/")
    is_turn = stance.phase == Phase.SETTLED and book_id in stance.active
    active = sorted(books[number].name for number in stance.active if number in books)
    facts: dict[str, Any] = {"mode": mode, "active": active, "hand_over": str(stance.phase)}
    if stance.until is not None:
        facts["until"] = stance.until.isoformat()
    code = "" if is_turn else "MODE_SLOT_CLOSED" if mode == "rotation" else "MODE_BOT_NOT_ACTIVE"
    remedy = "" if is_turn else _TURN_REMEDIES.get(mode, "Wait for its slot, or change the mode or the slots.")
    return Gate(name="mode", is_open=is_turn, code=code, facts=facts, remedy=remedy, link="/modes/")


def _halt(book: Book) -> Gate:
    is_open = book.is_active and not book.is_halted
    code = "" if is_open else (book.halt_reason or "BOOK_HALTED") if book.is_halted else "MODE_BOT_NOT_ACTIVE"
    remedy = "" if is_open else "Find out why it was halted; a person lets it go on."
    return Gate(name="book", is_open=is_open, code=code, remedy=remedy, link="/reconcile/")


def _share(book: Book, numbers: BookNumbers, account: Account) -> Gate:
    is_open = book.base_equity > ZERO
    facts = {"percent": plain(numbers.percent), "sized_by": plain(book.base_equity)}
    remedy = "" if is_open else "Give it a share of the account."
    if not is_open and account.allocation_mode in {str(mode) for mode in EXCLUSIVE}:
        remedy = _MONEY_REMEDIES.get(account.allocation_mode, "In this mode the one whose turn it is has the money.")
    return Gate(
        name="allocation", is_open=is_open, code="" if is_open else "ALLOCATION_NONE", facts=facts, remedy=remedy,
        link="/allocation/",
    )  # fmt: skip


def _capital(book: Book, numbers: BookNumbers) -> Gate:
    leaving = max(-book.pending, ZERO)
    free = max(numbers.cash - leaving, ZERO)
    is_open = free > ZERO
    facts = {"free": plain(free), "reserved": plain(numbers.reserved), "in_coins": plain(numbers.holdings)}
    if leaving:
        facts["leaving_the_book"] = plain(leaving)
    remedy = "" if is_open else "Its capital is in orders and coins: an exit, a cancel or a larger share frees or adds some."
    return Gate(
        name="free capital", is_open=is_open, code="" if is_open else "CAPITAL_INSUFFICIENT", facts=facts, remedy=remedy,
        link="/allocation/",
    )  # fmt: skip


def _risk(rows: Mapping[int | None, Mapping[str, Any]], book_id: int) -> list[Gate]:
    gates = []
    for key, whose in ((None, "risk of the account"), (book_id, "risk of the bot")):
        row = rows.get(key)
        if row is None:
            gates.append(Gate(name=whose, is_open=True, facts={"limits": "not known yet"}, link="/risk/"))
            continue
        gates.append(
            Gate(
                name=whose,
                is_open=not row["shut_by"],
                code=row["shut_by"],
                facts={name: _rounded(row[name]) for name in ("lost_today", "worst_open", "soft_cap", "left")},
                remedy=row["remedy"],
                link="/risk/",
            )
        )
    return gates


def _rounded(amount: Decimal) -> str:
    return f"{amount:.2f}"


def state_remedy(account: Account) -> str:
    """Say what lets an account trade again that does not; empty when it does."""
    if account.state == Account.State.ACTIVE:
        return ""
    if account.state == Account.State.STARTING:
        return "The trader is reading what happened while it was away; this passes by itself."
    named = f"--account '{account.name}'"
    if account.state_reason == "EXCHANGE_RESET":
        return (
            "The exchange began anew, as testnets do every month. Close these books and open new ones for what it holds now: "
            f"`manage.py reopen {named} --confirm '{account.name}'`."
        )
    if account.state_reason == CODE_DIFFERS:
        return "Processes run different code or settings: restart them all with the same; this then passes by itself."
    if account.state_reason == "RESTORED":
        return f"Compare the restored books with the exchange: `manage.py reopen {named} --confirm '{account.name}'`."
    return f"Explain what is unexplained, or let the account go on: `manage.py resume {named}`."
