"""Addresses of the coordinator: what it holds, what it refused, and letting go of one order."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Router
from pydantic import StringConstraints

from marketdata.schemas import Limit, RowId
from portfolio.coordinator_view import conflicts_view, coordinator_view
from portfolio.models import Account, Book, DeficitCover, Order
from portfolio.schemas.coordinator import CancelIn, ConflictsOut, CoordinatorOut, CoverIn, CoverOut
from portfolio.schemas.orders import OrderOut
from portfolio.selectors import coordinator as reading
from portfolio.selectors import lists
from portfolio.selectors.worth import worth
from portfolio.services.deficits import cover_deficit
from portfolio.services.orphans import cancel_order

router = Router(tags=["coordinator"])
Code = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_]{0,48}$")]


@router.get("/coordinator", response=CoordinatorOut)
def coordinator(request: HttpRequest, account: RowId | None = None) -> dict[str, Any]:
    """Return capital, reservations, conflicts, exposure, live orders, orphans and dust."""
    return coordinator_view(worth(_account(account).pk))


@router.get("/conflicts", response=ConflictsOut)
def conflicts(request: HttpRequest, account: RowId | None = None, code: Code = "", limit: Limit = 50) -> dict[str, Any]:
    """List the newest refusals, of one code or of all, and how often each came up lately."""
    books = list(Book.objects.filter(account=_account(account)).values_list("id", flat=True))
    return conflicts_view(reading.refusals(books, code=code, limit=limit))


@router.post("/orders/{order_id}/cancel", response=OrderOut)
def cancel(request: HttpRequest, order_id: RowId, payload: CancelIn) -> Order:
    """Have the trader cancel one live order."""
    assert request.user.is_authenticated
    return cancel_order(order_id=order_id, by=request.user, reason=payload.reason, now=timezone.now())


@router.post("/deficits/cover", response=CoverOut)
def cover(request: HttpRequest, payload: CoverIn) -> DeficitCover:
    """Buy coins at the mark for a bot that owes them, from what is unallocated or from another bot."""
    assert request.user.is_authenticated
    return cover_deficit(
        account_id=_account(payload.account).pk,
        book_id=payload.book,
        asset=payload.asset,
        source_id=payload.source,
        amount=payload.amount,
        by=request.user,
        reason=payload.reason,
        now=timezone.now(),
    )


def _account(account_id: int | None) -> Account:
    found = lists.shown_account() if account_id is None else lists.accounts().filter(id=account_id).first()
    if found is None:
        raise Http404("There is no such account.")
    return found
