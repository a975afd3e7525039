"""Addresses that tell of the money world and change it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Router
from pydantic import Field

from marketdata.schemas import Cursor, Limit, Moment, RowId
from portfolio import selectors, services
from portfolio.allocations_view import allocations_view, versions_view
from portfolio.figures import pnl_view, position_view
from portfolio.models import Account, Book
from portfolio.risk_view import risk_view
from portfolio.schemas import (
    AccountOut,
    AllocationsIn,
    AllocationsOut,
    AuditOut,
    BalancesOut,
    EquityOut,
    ExplainIn,
    FillOut,
    KillIn,
    KillOut,
    LedgerOut,
    LimitsIn,
    LimitsPreviewIn,
    LimitsPreviewOut,
    OrderOut,
    PageOut,
    PnlOut,
    PositionOut,
    RebaseIn,
    ReconciliationsOut,
    ReleaseIn,
    ReservationOut,
    RiskOut,
    RollbackIn,
    TradeOut,
    VersionOut,
)
from portfolio.selectors import lists
from portfolio.selectors.allocations import versions
from portfolio.selectors.audit import AuditFilter, audit_entries
from portfolio.selectors.trades import trades as trades_of
from portfolio.selectors.worth import consistent_read, worth

router = Router(tags=["portfolio"])
Word = Annotated[str, Field(max_length=150, pattern=r"^[^\x00-\x1f]*$")]
Status = Literal[
    "",
    "live",
    "ready",
    "sending",
    "unknown",
    "open",
    "partial",
    "cancelling",
    "filled",
    "canceled",
    "expired",
    "rejected",
    "absent",
    "withdrawn",
]
REQUEST_ID = "Idempotency-Key"


@router.get("/accounts", response=PageOut[AccountOut])
def accounts(request: HttpRequest) -> dict[str, Any]:
    """List the accounts, those in use first."""
    return {"items": list(lists.accounts())}


@router.get("/accounts/{account_id}/balances", response=BalancesOut)
def balances(request: HttpRequest, account_id: RowId) -> dict[str, Any]:
    """List every pocket of the ledger with the newest prices, all of one moment."""
    with consistent_read():
        now_worth = worth(_account(account_id).pk)
        return {"seq": now_worth.seq, "marks": now_worth.marks, "pockets": list(lists.pockets(account_id))}


@router.get("/accounts/{account_id}/reconciliation", response=ReconciliationsOut)
def reconciliation(request: HttpRequest, account_id: RowId, cursor: Cursor | None = None, limit: Limit = 50) -> dict[str, Any]:
    """List the comparisons with the exchange; `suspense` is what is unexplained now."""
    account = _account(account_id)
    page = lists.reconciliations(account_id=account.pk, cursor=_int(cursor), limit=limit)
    return {**_page(page), "suspense": selectors.residuals(account.pk)}


@router.post("/reconciliation/{account_id}/explain", response=LedgerOut)
def explain(request: HttpRequest, account_id: RowId, payload: ExplainIn) -> Any:
    """Say that a difference was a deposit or a withdrawal of the operator."""
    return services.explain_suspense(
        account_id=_account(account_id).pk,
        asset=payload.asset,
        amount=payload.amount,
        kind=payload.kind,
        reason=payload.reason,
        **_asked(request),
    )


@router.get("/accounts/{account_id}/equity", response=PageOut[EquityOut])
def equity(
    request: HttpRequest,
    account_id: RowId,
    book: RowId | None = None,
    since: Moment | None = None,
    limit: Annotated[int, Field(ge=1, le=5000)] = 2000,
) -> dict[str, Any]:
    """List the newest points of the equity line, oldest first."""
    account = _account(account_id)
    return {"items": selectors.equity_series(account.pk, book_id=book, since=since, limit=limit)}


@router.get("/pnl", response=PnlOut)
def pnl(request: HttpRequest, account: RowId | None = None) -> dict[str, Any]:
    """Return what the account and each bot are worth and made, all at one `seq`."""
    return pnl_view(worth(_account(account).pk))


@router.get("/positions", response=PageOut[PositionOut])
def positions(request: HttpRequest, account: RowId | None = None, book: RowId | None = None) -> dict[str, Any]:
    """List what bots hold, at the marks."""
    found = selectors.positions(_account(account).pk, book_id=book)
    return {"items": [position_view(numbers) for numbers in found]}


@router.get("/orders", response=PageOut[OrderOut])
def orders(
    request: HttpRequest,
    account: RowId | None = None,
    book: RowId | None = None,
    status: Status = "",
    cursor: Cursor | None = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """List orders, newest first; status `live` means all that may still trade."""
    page = lists.orders(account_id=_account(account).pk, book_id=book, status=status, cursor=_int(cursor), limit=limit)
    return _page(page)


@router.get("/fills", response=PageOut[FillOut])
def fills(
    request: HttpRequest,
    account: RowId | None = None,
    book: RowId | None = None,
    cursor: Cursor | None = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """List fills, newest first."""
    return _page(lists.fills(account_id=_account(account).pk, book_id=book, cursor=_int(cursor), limit=limit))


@router.get("/trades", response=PageOut[TradeOut])
def trades(
    request: HttpRequest,
    account: RowId | None = None,
    book: RowId | None = None,
    cursor: Cursor | None = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """List trades from flat to flat, newest first; here the cursor counts trades."""
    found = trades_of(account_id=_account(account).pk, book_id=book)
    begin = _int(cursor) or 0
    more = begin + limit < len(found)
    return {"items": found[begin : begin + limit], "next_cursor": str(begin + limit) if more else None}


@router.get("/reservations", response=PageOut[ReservationOut])
def reservations(request: HttpRequest, account: RowId | None = None) -> dict[str, Any]:
    """List what live orders hold."""
    return {"items": list(lists.reservations(_account(account).pk))}


@router.get("/ledger", response=PageOut[LedgerOut])
def ledger(
    request: HttpRequest, account: RowId | None = None, cursor: Cursor | None = None, limit: Limit = 100
) -> dict[str, Any]:
    """List ledger transactions with their legs, newest first."""
    return _page(lists.ledger(account_id=_account(account).pk, cursor=_int(cursor), limit=limit))


@router.get("/audit", response=PageOut[AuditOut])
def audit(
    request: HttpRequest,
    actor: Word = "",
    action: Word = "",
    subject: Word = "",
    request_id: Word = "",
    since: Moment | None = None,
    until: Moment | None = None,
    cursor: Cursor | None = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """List who changed what, newest first."""
    wanted = AuditFilter(actor=actor, action=action, subject=subject, request_id=request_id, since=since, until=until)
    items, next_cursor = audit_entries(wanted, cursor=_int(cursor), limit=limit)
    return {"items": items, "next_cursor": next_cursor}


@router.get("/allocations", response=AllocationsOut)
def allocations(request: HttpRequest, account: RowId | None = None) -> dict[str, Any]:
    """Return each book's share: target, and what it is worth now."""
    return allocations_view(worth(_account(account).pk))


@router.post("/allocations/preview", response=AllocationsOut)
def preview_allocations(request: HttpRequest, payload: AllocationsIn) -> dict[str, Any]:
    """Show what new shares would do, in quote currency, and change nothing."""
    account = _account(payload.account)
    plan = services.preview_allocations(account_id=account.pk, **_plan_asked(account, payload))
    return allocations_view(worth(account.pk), plan=plan)


@router.put("/allocations", response=AllocationsOut)
def replace_allocations(request: HttpRequest, payload: AllocationsIn) -> dict[str, Any]:
    """Set shares; the next order is sized by them."""
    return _set_allocations(request, payload)


@router.post("/allocations", response=AllocationsOut)
def set_allocations(request: HttpRequest, payload: AllocationsIn) -> dict[str, Any]:
    """Set shares, once per Idempotency-Key."""
    return _set_allocations(request, payload)


@router.post("/allocations/rebase", response=AllocationsOut)
def rebase_allocations(request: HttpRequest, payload: RebaseIn) -> dict[str, Any]:
    """Deal gains, losses and deposits out anew by the shares as they are."""
    account = _account(payload.account)
    services.rebase_allocations(account_id=account.pk, expected=payload.version, note=payload.note, **_asked(request))
    return allocations_view(worth(account.pk))


@router.get("/allocations/versions", response=PageOut[VersionOut])
def allocation_versions(
    request: HttpRequest, account: RowId | None = None, cursor: Cursor | None = None, limit: Limit = 20
) -> dict[str, Any]:
    """List the versions of the shares with what each changed, newest first; the cursor is a version's number."""
    found = _account(account)
    views = versions(account_id=found.pk, cursor=_int(cursor), limit=limit + 1)
    names = dict(Book.objects.filter(account=found).values_list("id", "name"))
    more = str(views[limit - 1].version.number) if len(views) > limit else None
    return {"items": versions_view(views[:limit], names), "next_cursor": more}


@router.post("/allocations/rollback", response=AllocationsOut)
def roll_back_allocations(request: HttpRequest, payload: RollbackIn) -> dict[str, Any]:
    """Set the shares of an earlier version again, as a new version; or show first what that would do."""
    account = _account(payload.account)
    if payload.preview:
        plan = services.preview_rollback(account_id=account.pk, number=payload.to)
        return allocations_view(worth(account.pk), plan=plan)
    services.roll_back_allocations(
        account_id=account.pk, number=payload.to, expected=payload.version, note=payload.note, **_asked(request)
    )
    return allocations_view(worth(account.pk))


@router.get("/risk", response=RiskOut)
def risk(request: HttpRequest, account: RowId | None = None) -> dict[str, Any]:
    """Say what account and bots may still lose today, their limits, and what keeps entries out."""
    return risk_view(_account(account).pk, now=timezone.now())


@router.post("/risk/limits", response=RiskOut)
def set_limits(request: HttpRequest, payload: LimitsIn) -> dict[str, Any]:
    """Set limits; the next order is held against them. Lowering is the operator's, raising the administrator's."""
    account = _account(payload.account)
    changes = payload.dict(exclude={"reason", "account", "book"}, exclude_none=True)
    services.set_limits(
        account_id=account.pk,
        book_id=payload.book,
        changes=changes,
        reason=payload.reason,
        may_raise="admin" in getattr(request, "scopes", ()),
        **_asked(request),
    )
    return risk_view(account.pk, now=timezone.now())


@router.post("/risk/limits/preview", response=LimitsPreviewOut)
def preview_limits(request: HttpRequest, payload: LimitsPreviewIn) -> dict[str, Any]:
    """Say which bots could not enter any more with these limits, and what would be sold; nothing is set."""
    changes = {row.book: row.dict(exclude={"book"}, exclude_none=True) for row in payload.changes}
    found = services.preview_limits(account_id=_account(payload.account).pk, changes=changes, now=timezone.now())
    return {"raised": sorted({name for names in found.raised.values() for name in names}), "rows": found.rows}


@router.post("/risk/release", response=RiskOut)
def release_latches(request: HttpRequest, payload: ReleaseIn) -> dict[str, Any]:
    """Let a bot, or the whole account, enter again after it was shut."""
    account = _account(payload.account)
    services.release_latches(account_id=account.pk, book_id=payload.book, reason=payload.reason, **_asked(request))
    return risk_view(account.pk, now=timezone.now())


@router.get("/kill", response=PageOut[KillOut])
def kill_switches(request: HttpRequest) -> dict[str, Any]:
    """Say for each account in use whether the kill switch is on."""
    return {"items": [_kill_view(account) for account in lists.accounts() if account.is_enabled]}


@router.post("/kill", response=PageOut[KillOut])
def kill(request: HttpRequest, payload: KillIn) -> dict[str, Any]:
    """Stop all entries at once and cancel resting entries: of one account, or of all in use."""
    done = [services.kill(account, reason=payload.reason, **_asked(request)) for account in _accounts(payload.account)]
    return {"items": [_kill_view(account) for account in done]}


@router.post("/kill/release", response=PageOut[KillOut])
def release_kill(request: HttpRequest, payload: KillIn) -> dict[str, Any]:
    """Let entries be taken again."""
    done = [services.release_kill(account, reason=payload.reason, **_asked(request)) for account in _accounts(payload.account)]
    return {"items": [_kill_view(account) for account in done]}


def _set_allocations(request: HttpRequest, payload: AllocationsIn) -> dict[str, Any]:
    account = _account(payload.account)
    services.set_allocations(
        account_id=account.pk,
        expected=payload.version,
        note=payload.note,
        **_plan_asked(account, payload),
        **_asked(request),
    )
    return allocations_view(worth(account.pk))


def _plan_asked(account: Account, payload: AllocationsIn) -> dict[str, Any]:
    return {
        "percents": _percents(account, payload),
        "locks": {share.book: share.is_locked for share in payload.shares if share.is_locked is not None},
        "policy": payload.policy.changes() if payload.policy else {},
        "rebase": payload.rebase,
    }


def _percents(account: Account, payload: AllocationsIn) -> dict[int, Any]:
    percents = {share.book: share.percent for share in payload.shares}
    if len(percents) < len(payload.shares):
        raise services.UnableToAllocate("ALLOCATION_TWICE", "A book is named twice.")
    known = set(Book.objects.filter(account=account).values_list("id", flat=True))
    if not percents.keys() <= known:
        raise services.UnableToAllocate("BOOK_UNKNOWN", f"Unknown book: {min(percents.keys() - known)}.")
    return percents


def _account(account_id: int | None) -> Account:
    found = lists.shown_account() if account_id is None else lists.accounts().filter(id=account_id).first()
    if found is None:
        raise Http404("There is no such account.")
    return found


def _accounts(account_id: int | None) -> list[int]:
    return [_account(account_id).pk] if account_id is not None else selectors.accounts_to_trade()


def _asked(request: HttpRequest) -> dict[str, Any]:
    return {"by": request.user, "now": timezone.now(), "request_id": request.headers.get(REQUEST_ID, "")[:64]}


def _kill_view(account: Account) -> dict[str, Any]:
    return {
        "account": account.pk,
        "is_killed": account.is_killed,
        "killed_at": account.killed_at,
        "killed_reason": account.killed_reason,
    }


def _page(page: lists.Page[Any]) -> dict[str, Any]:
    return {"items": page.items, "next_cursor": page.next_cursor}


def _int(cursor: str | None) -> int | None:
    return None if cursor is None else int(cursor)
