"""Why a bot is not trading: every gate between its next candle and an order, in the order they are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from bots.models import Bot
from bots.selectors import bots as bots_of
from bots.selectors import instruments_of, last_close, other_sides
from marketdata.models import Instrument
from marketdata.selectors import Price, prices
from portfolio.jobs.pairs import TRADER_AWAY
from portfolio.models import Account, DecisionRecord
from portfolio.risk_view import risk_view
from portfolio.selectors import BookNumbers, account_overview
from portfolio.selectors.gates import Gate, account_gates, book_gates
from portfolio.selectors.leases import traders_away
from portfolio.selectors.lists import latest_decisions
from portfolio.selectors.risk import day_volumes
from strategies import registry
from strategies.sources import UnknownStrategy
from trading.bars import interval_milliseconds
from trading.ledger import exactly, plain
from trading.risk import LIQUIDITY

_SIGNAL: Final = "signal"
_HOLDS: Final = ("POSITION_HELD", "ENTRY_PENDING", "GRID_WAITING")
_SHUTS: Final = ("FILTER_", "COST_GATE", "SIGNAL_NO_OPINION", "SIGNAL_WARMING_UP", "COOLDOWN_ACTIVE", "DATA_GAP", "GRID_PAUSED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """Every gate of a bot; the first that is shut is why it does not enter."""

    bot: Bot
    gates: Sequence[Gate]

    @property
    def shut(self) -> list[Gate]:
        """Return the gates that keep it out."""
        return [gate for gate in self.gates if not gate.is_open]

    @property
    def only_waits(self) -> bool:
        """Say whether nothing is in its way but the market."""
        return [gate.name for gate in self.shut] == [_SIGNAL] and self.shut[0].code.startswith(_SHUTS)

    @property
    def verdict(self) -> str:
        """Say in a sentence why it does not enter."""
        if not self.shut:
            return "Nothing keeps it from entering: the next candle that gives a signal gives an order."
        if self.only_waits:
            return "Nothing else is in its way: the market has to give its signal."
        return f"{self.shut[0].name.capitalize()}: {self.shut[0].remedy or self.shut[0].code}"


@exactly
def checklists(account_id: int, *, now: datetime) -> list[Checklist]:
    """Return the gates of every bot of an account; the number of reads grows with the bots, not with what they did."""
    account = Account.objects.select_related("market").get(id=account_id)
    found = list(bots_of(account_id))
    markets = instruments_of([bot.pk for bot in found])
    overview = account_overview(account_id)
    view = risk_view(account_id, now=now)
    risk_rows = {row["book"]: row for row in (view["total"], *view["books"])}
    shared = account_gates(account, now=now)
    money = book_gates(account, overview, risk_rows)
    market_at = account.synced_through_at or account.market.market_time_at or now
    is_floored = any(row["limits"]["volume_day_min"] for row in risk_rows.values())
    volumes = day_volumes(account, market_at) if is_floored else {}
    quotes = prices(account.market_id, now=now)
    decisions = latest_decisions(account_id)
    numbers = {book.book_id: book for book in overview.books}
    others = other_sides([bot.pk for bot in found])
    return [
        Checklist(
            bot=bot,
            gates=[
                *shared,
                _status(bot),
                _sources(bot),
                *([_other_side(others[bot.pk], now=now)] if bot.pk in others else []),
                *money[bot.book_id],
                _data(bot, account),
                _prices(markets[bot.pk], quotes),
                _liquidity(markets[bot.pk], volumes, risk_rows[bot.book_id]["limits"]["volume_day_min"]),
                _filters(markets[bot.pk], numbers[bot.book_id], bot),
                _signal(bot, decisions.get(bot.book_id)),
            ],
        )
        for bot in found
    ]


def _status(bot: Bot) -> Gate:
    is_open = bot.status == Bot.Status.RUNNING
    code = "" if is_open else "MODE_BOT_PAUSED" if bot.status == Bot.Status.PAUSED else "MODE_BOT_NOT_ACTIVE"
    remedies = {Bot.Status.PAUSED: "Resume it.", Bot.Status.HALTED: "Mend what it stumbled over, then start it."}
    return Gate(
        name="bot",
        is_open=is_open,
        code=code,
        facts={"status": bot.status, "reason": bot.status_reason},
        remedy="" if is_open else remedies.get(Bot.Status(bot.status), "Start it."),
        link=f"/bots/{bot.pk}/",
    )


def _sources(bot: Bot) -> Gate:
    try:
        current = registry.definition(bot.strategy).source_hash
    except UnknownStrategy as error:
        return Gate(name="strategy", is_open=False, code="STRATEGY_ERROR", remedy=str(error), link=f"/bots/{bot.pk}/")
    is_same = current == bot.strategy_hash
    return Gate(
        name="strategy",
        is_open=is_same,
        code="" if is_same else "STRATEGY_CHANGED",
        facts={"strategy": bot.strategy, "pinned": bot.strategy_hash[:10], "now": current[:10]},
        remedy="" if is_same else "Its sources changed since it was started: stop and start it.",
        link=f"/bots/{bot.pk}/",
    )


def _other_side(other: Bot, *, now: datetime) -> Gate:
    """Say whether the other bot's account could send its leg: of a pair both are ordered, or neither is."""
    account = other.book.account
    shut = next((gate for gate in account_gates(account, now=now) if not gate.is_open), None)
    code = shut.code if shut is not None else TRADER_AWAY if traders_away([account.pk], now=now) else ""
    remedy = shut.remedy if shut is not None else "Its trader has lost its lease: see whether it runs."
    return Gate(
        name="other side",
        is_open=not code,
        code=code,
        facts={"account": account.name, "bot": other.pk} | (dict(shut.facts) if shut is not None else {}),
        remedy=f"On {account.name}: {remedy}" if code else "",
        link="/arbitrage/",
    )


def _data(bot: Bot, account: Account) -> Gate:
    """Compare the candle it stepped last with the one that has closed since."""
    market_at = account.synced_through_at or account.market.market_time_at
    if bot.bar_closed_at is None or market_at is None:
        return Gate(
            name="candles",
            is_open=False,
            code="SIGNAL_WARMING_UP",
            remedy="Its first candles are being fetched.",
            link="/history/",
        )
    behind = last_close(market_at, bot.interval) - bot.bar_closed_at
    candles = int(behind.total_seconds() * 1000) // interval_milliseconds(bot.interval)
    is_open = candles <= 1
    return Gate(
        name="candles",
        is_open=is_open,
        code="" if is_open else "DATA_STALE",
        facts={"candles_behind": max(candles, 0), "last_candle": bot.bar_closed_at.isoformat()},
        remedy=""
        if is_open
        else "It catches up as candles come; entries are taken on the newest candle only. Is the feed running?",
        link="/system/",
    )


def _prices(markets: Sequence[Instrument], quotes: Mapping[int, Price]) -> Gate:
    troubles = {}
    for instrument in markets:
        quote = quotes.get(instrument.pk)
        trouble = "no price yet" if quote is None or quote.mark is None else quote.trouble
        if trouble:
            troubles[instrument.symbol] = trouble
    is_open = len(troubles) < len(markets) or not markets
    remedy = "" if not troubles else "Prices must be there and agree before money follows them: look at the feed."
    return Gate(
        name="prices", is_open=is_open, code="" if is_open else "DATA_STALE", facts=troubles, remedy=remedy, link="/system/"
    )


def _liquidity(markets: Sequence[Instrument], volumes: Mapping[int, Decimal], least: Decimal) -> Gate:
    """Say in which of its markets enough is traded to buy there."""
    traded = {instrument.symbol: volumes.get(instrument.pk) for instrument in markets}
    is_open = not least or not markets or any(volume is not None and volume >= least for volume in traded.values())
    facts = {symbol: "unknown" if volume is None else plain(volume) for symbol, volume in traded.items()} if least else {}
    return Gate(
        name="liquidity",
        is_open=is_open,
        code="" if is_open else LIQUIDITY,
        facts=facts | ({"least_traded_a_day": plain(least)} if least else {}),
        remedy=""
        if is_open
        else "Too little was traded in 24 hours, or nobody knows: wait, or an administrator lowers the limit.",
        link="/risk/",
    )


def _filters(markets: Sequence[Instrument], book: BookNumbers, bot: Bot) -> Gate:
    """Say whether the largest position the cap allows is an order that the exchange takes."""
    cap = book.base_equity * bot.book.position_cap_percent / 100
    least = min((instrument.notional_min for instrument in markets), default=Decimal(0))
    is_open = cap >= least
    return Gate(
        name="filters",
        is_open=is_open,
        code="" if is_open else "FILTER_MIN_NOTIONAL",
        facts={"position_cap": plain(cap), "smallest_order": plain(least)},
        remedy="" if is_open else "Its largest position is smaller than the smallest order: raise its share or its position cap.",
        link="/allocation/",
    )


def _signal(bot: Bot, decision: DecisionRecord | None) -> Gate:
    """Say what the strategy or the coordinator made of the newest candle."""
    link = f"/bots/{bot.pk}/#decisions"
    if decision is None:
        return Gate(
            name=_SIGNAL, is_open=False, code="SIGNAL_WARMING_UP", remedy="It has not decided on a candle yet.", link=link
        )
    facts: dict[str, Any] = {"candle": decision.bar_closed_at.isoformat(), "decided": decision.action} | _flat(decision.facts)
    code = decision.denial or decision.reason
    is_shut = bool(decision.denial) or code.startswith(_SHUTS)
    if code in _HOLDS:
        return Gate(name=_SIGNAL, is_open=True, code=code, facts=facts, remedy="It is in the market already.", link=link)
    remedy = (
        "The newest entry was refused; the facts say by how much." if decision.denial else "The market has to give its signal."
    )
    return Gate(name=_SIGNAL, is_open=not is_shut, code=code, facts=facts, remedy=remedy if is_shut else "", link=link)


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    inner = facts.get("denial")
    return {name: value for name, value in facts.items() if name != "denial"} | (inner if isinstance(inner, dict) else {})
