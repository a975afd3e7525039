"""Addresses of pairs of bots: what there is, making one, and what they traded."""

from __future__ import annotations

from typing import Any, Final

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Router, Status

from bots import services
from bots.models import Bot
from bots.pairs_schemas import PairIn, PairOfBotsOut, TradedPairOut
from bots.pairs_view import pairs_of_bots_view, traded_pair_view
from marketdata.schemas import Cursor, Limit, RowId
from portfolio.schemas import PageOut
from portfolio.selectors.pairs import pairs_of
from strategies.registry import BadParameter
from trading.bars import BadInterval
from trading.instruments import UnknownSymbol

router = Router(tags=["pairs of bots"])
# What a mistyped word is called; the words themselves say what was meant.
_CODES: Final[dict[type[ValueError], str]] = {
    BadParameter: "PARAMETER_REFUSED",
    UnknownSymbol: "SYMBOL_UNKNOWN",
    BadInterval: "INTERVAL_UNKNOWN",
}


@router.get("/pairs", response=PageOut[PairOfBotsOut])
def pairs(request: HttpRequest) -> dict[str, Any]:
    """List the pairs of bots: both sides, what they hold and made, alone and together, and what a pair would bring now."""
    return {"items": pairs_of_bots_view(now=timezone.now())}


@router.post("/pairs", response={201: PairOfBotsOut})
def make_pair(request: HttpRequest, payload: PairIn) -> Status[dict[str, Any]]:
    """Make two stopped bots that trade one coin on two accounts; a pair of that key between them is left as it is."""
    assert request.user.is_authenticated
    planned = services.PlannedPair(
        key=payload.key,
        name=payload.name,
        account_ids=(payload.account, payload.far_account),
        symbols=(payload.symbol, payload.far_symbol or payload.symbol),
        interval=payload.interval,
        params=payload.params,
    )
    now, key = timezone.now(), request.headers.get("Idempotency-Key", "")[:64]
    try:
        leader, _ = services.create_pair(planned=planned, by=request.user, now=now, request_id=key)
    except tuple(_CODES) as error:
        code = next(code for kind, code in _CODES.items() if isinstance(error, kind))
        raise services.UnableToOperate(code, str(error)) from error
    (made,) = pairs_of_bots_view(now=now, only=leader.pk)
    return Status(201, made)


@router.get("/bots/{bot_id}/pairs", response=PageOut[TradedPairOut])
def traded_pairs(request: HttpRequest, bot_id: RowId, cursor: Cursor | None = None, limit: Limit = 50) -> dict[str, Any]:
    """List the pairs a bot traded with its other side, newest first; none for a bot that trades alone."""
    bot = Bot.objects.filter(id=bot_id).first()
    if bot is None:
        raise Http404("There is no such bot.")
    page = pairs_of([bot.book_id], cursor=None if cursor is None else int(cursor), limit=limit)
    return {"items": [traded_pair_view(pair) for pair in page.items], "next_cursor": page.next_cursor}
