"""Addresses of bots: look at them and operate them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Body, Router
from pydantic import Field

from bots import selectors, services
from bots.drift_view import drift_view
from bots.gates import Checklist, checklists
from bots.models import Bot
from bots.results_view import results_view
from bots.schemas import BotDetailOut, BotOut, BotResultsOut, ChecklistOut, DriftOut, IndicatorsOut, StrategyOut
from marketdata.schemas import Cursor, Limit, Moment, Nothing, RowId
from portfolio.coordinator_view import gate_views
from portfolio.schemas import DecisionOut, EquityOut, PageOut
from portfolio.selectors import equity_series, lists
from strategies import registry
from strategies.sources import UnknownStrategy

router = Router(tags=["bots"])
Command = Callable[..., Bot]


@router.get("/bots", response=PageOut[BotOut])
def bots(request: HttpRequest, account: RowId | None = None) -> dict[str, Any]:
    """List the bots by rank, each with its last decision."""
    shown = lists.shown_account()
    account_id = account or (shown.pk if shown else 0)
    rows = list(selectors.bots(account_id))
    _describe(rows, account_id)
    return {"items": rows}


@router.get("/bots/{bot_id}", response=BotDetailOut)
def bot(request: HttpRequest, bot_id: RowId) -> Bot:
    """Return a bot with what its strategy remembers."""
    return _described(bot_id)


@router.post("/bots/{bot_id}/start", response=BotDetailOut)
def start(request: HttpRequest, bot_id: RowId, payload: Annotated[Nothing | None, Body()] = None) -> Bot:
    """Let a bot trade from the next candle on."""
    return _command(services.start_bot, request, bot_id)


@router.post("/bots/{bot_id}/stop", response=BotDetailOut)
def stop(request: HttpRequest, bot_id: RowId, payload: Annotated[Nothing | None, Body()] = None) -> Bot:
    """Stop a bot; its positions and their stops stay."""
    return _command(services.stop_bot, request, bot_id)


@router.post("/bots/{bot_id}/pause", response=BotDetailOut)
def pause(request: HttpRequest, bot_id: RowId, payload: Annotated[Nothing | None, Body()] = None) -> Bot:
    """Keep a bot from entering; it goes on minding what it holds."""
    return _command(services.pause_bot, request, bot_id)


@router.post("/bots/{bot_id}/resume", response=BotDetailOut)
def resume(request: HttpRequest, bot_id: RowId, payload: Annotated[Nothing | None, Body()] = None) -> Bot:
    """Let a paused bot enter again."""
    return _command(services.resume_bot, request, bot_id)


@router.post("/bots/{bot_id}/flatten", response=BotDetailOut)
def flatten(request: HttpRequest, bot_id: RowId, payload: Annotated[Nothing | None, Body()] = None) -> Bot:
    """Stop a bot and sell all it holds."""
    return _command(services.flatten_bot, request, bot_id)


@router.get("/bots/{bot_id}/decisions", response=PageOut[DecisionOut])
def decisions(
    request: HttpRequest, bot_id: RowId, is_acting: bool = False, cursor: Cursor | None = None, limit: Limit = 100
) -> dict[str, Any]:
    """List what a bot decided and why, newest first; `is_acting` leaves out holding still."""
    before = None if cursor is None else int(cursor)
    page = lists.decisions(book_id=_bot(bot_id).book_id, cursor=before, limit=limit, is_acting=is_acting)
    return {"items": page.items, "next_cursor": page.next_cursor}


@router.get("/bots/{bot_id}/equity", response=PageOut[EquityOut])
def equity(
    request: HttpRequest,
    bot_id: RowId,
    since: Moment | None = None,
    limit: Annotated[int, Field(ge=1, le=5000)] = 2000,
) -> dict[str, Any]:
    """List the newest points of a bot's equity line, oldest first."""
    found = _bot(bot_id)
    return {"items": equity_series(found.book.account_id, book_id=found.book_id, since=since, limit=limit)}


@router.get("/bots/{bot_id}/drift", response=DriftOut)
def drift(request: HttpRequest, bot_id: RowId, limit: Limit = 100) -> dict[str, Any]:
    """Compare a bot's newest orders with what its backtest assumes of them: each, day by day, and whether that is alarming."""
    return drift_view(_bot(bot_id), orders=limit)


@router.get("/bots/{bot_id}/results", response=BotResultsOut)
def results(request: HttpRequest, bot_id: RowId) -> dict[str, Any]:
    """Measure a bot's newest trades by what their entries risked down to their stops, and count how its newest orders ended."""
    return results_view(_bot(bot_id))


@router.get("/gates", response=PageOut[ChecklistOut])
def gates(request: HttpRequest, account: RowId | None = None) -> dict[str, Any]:
    """Say for every bot why it is not trading: each gate, the facts, and what would change it."""
    found = lists.shown_account() if account is None else lists.accounts().filter(id=account).first()
    if found is None:
        raise Http404("There is no such account.")
    return {"items": [_checklist(one) for one in checklists(found.pk, now=timezone.now())]}


@router.get("/bots/{bot_id}/gates", response=ChecklistOut)
def bot_gates(request: HttpRequest, bot_id: RowId) -> dict[str, Any]:
    """Say why a bot is not trading."""
    found = _bot(bot_id)
    (mine,) = (one for one in checklists(found.book.account_id, now=timezone.now()) if one.bot.pk == bot_id)
    return _checklist(mine)


@router.get("/bots/{bot_id}/indicators", response=IndicatorsOut)
def indicators(request: HttpRequest, bot_id: RowId, limit: Annotated[int, Field(ge=1, le=1000)] = 500) -> dict[str, Any]:
    """Return the numbers a bot's strategy looked at over its newest candles, oldest first."""
    found = selectors.indicators(_bot(bot_id), bars=limit)
    plots = [{"label": plot.label, "pane": plot.pane, "values": values} for plot, values in found.lines.items()]
    return {"opened_at": found.opened_at, "plots": plots}


@router.get("/strategies", response=PageOut[StrategyOut])
def strategies(request: HttpRequest) -> dict[str, Any]:
    """List the strategies with their parameters."""
    return {"items": [_strategy(name) for name in registry.names()]}


def _command(command: Command, request: HttpRequest, bot_id: int) -> Bot:
    key = request.headers.get("Idempotency-Key", "")[:64]
    command(bot_id=_bot(bot_id).pk, by=request.user, now=timezone.now(), request_id=key)
    return _described(bot_id)


def _bot(bot_id: int) -> Bot:
    found = Bot.objects.select_related("book__account").filter(id=bot_id).first()
    if found is None:
        raise Http404("There is no such bot.")
    return found


def _described(bot_id: int) -> Bot:
    found = _bot(bot_id)
    _describe([found], found.book.account_id)
    # What the answer shows beside the row's own columns.
    vars(found)["remembered"] = selectors.remembered(found)
    return found


def _describe(rows: list[Bot], account_id: int) -> None:
    markets = selectors.instruments_of([row.pk for row in rows])
    newest = lists.latest_decisions(account_id)
    followers = dict(Bot.objects.filter(leader__in=rows).values_list("leader", "pk"))
    for row in rows:
        vars(row)["follower_id"] = followers.get(row.pk)
        vars(row)["symbols"] = [instrument.symbol for instrument in markets[row.pk]]
        vars(row)["last_decision"] = newest.get(row.book_id)


def _checklist(found: Checklist) -> dict[str, Any]:
    return {"bot": found.bot.pk, "name": found.bot.name, "verdict": found.verdict, "gates": gate_views(found.gates)}


def _strategy(name: str) -> dict[str, Any]:
    is_own = name not in registry.shipped_names()
    try:
        strategy = registry.definition(name)
        params = registry.schema(name)
    except UnknownStrategy as error:
        nothing = {"params": {}, "presets": {}, "source_hash": "", "order_kinds": []}
        return {"name": name, **nothing, "is_own": is_own, "trouble": str(error)}
    return {
        "name": name,
        "params": params,
        "presets": {interval: dict(values) for interval, values in strategy.presets.items()},
        "source_hash": strategy.source_hash,
        "order_kinds": [str(kind) for kind in strategy.order_kinds],
        "is_own": is_own,
        "trouble": "",
    }
