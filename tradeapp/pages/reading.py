"""What the pages need beyond what the API tells: gathered here, computed in the selectors below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bots.models import Bot
from bots.selectors import bots as bots_of
from bots.selectors import instruments_of
from bots.selectors.drift import open_drifts
from portfolio.models import Account, DecisionRecord, EquityPoint
from portfolio.risk_view import risk_view
from portfolio.selectors import lists
from portfolio.selectors.alarms import count_open
from portfolio.selectors.worth import Worth, worth
from tradeapp.pages import figures, formats, market_data
from tradeapp.pages.figures import Figure, Figures
from tradeapp.readiness import Sign

SPARKS = 48
COLOURS = 8
PACE_DECISIONS = 60


@dataclass(frozen=True, slots=True)
class BotLine:
    """A bot as cards, tables and menus show it."""

    bot: Bot
    colour: int
    symbols: tuple[str, ...]
    decision: DecisionRecord | None
    spark: str

    @property
    def status_tone(self) -> str:
        """Return the tone of the bot's state."""
        return {"running": "good", "paused": "warn", "halted": "bad"}.get(self.bot.status, "")


def chosen_account(account_id: int | None, *, bot_id: int | None = None) -> Account | None:
    """Return the account asked for, or that of a bot, or the one that is shown."""
    if account_id is None and bot_id is not None:
        # Bots of sub-accounts have pages, too.
        account_id = Bot.objects.filter(id=bot_id).values_list("book__account", flat=True).first()
    return lists.shown_account() if account_id is None else lists.accounts().filter(id=account_id).first()


def account_figures(account_id: int) -> tuple[Worth, Figures]:
    """Return an account's figures as pages show them."""
    now_worth = worth(account_id)
    return now_worth, figures.of_worth(now_worth, gains_today(now_worth))


def gains_today(now_worth: Worth) -> dict[int | None, Decimal]:
    """Return the gain of the account (None) and of each book since midnight of market time."""
    overview = now_worth.overview
    now = {None: overview.pnl} | {book.book_id: book.pnl for book in overview.books}
    if now_worth.marked_at is None:
        return now
    midnight = now_worth.marked_at.replace(hour=0, minute=0, second=0, microsecond=0)
    return {book: gained - _gained_until(midnight, overview.account_id, book) for book, gained in now.items()}


def _gained_until(moment: datetime, account_id: int, book_id: int | None) -> Decimal:
    # One look into the index for each book: a DISTINCT over all of them reads every point the account ever had.
    points = EquityPoint.objects.filter(account=account_id, book=book_id, market_at__lte=moment)
    newest = points.order_by("-market_at").first()
    return Decimal(0) if newest is None else newest.equity - newest.net_flows


def bot_lines(account_id: int) -> list[BotLine]:
    """Return the bots of an account by rank."""
    bots = list(bots_of(account_id))
    markets = instruments_of([bot.pk for bot in bots])
    newest = lists.latest_decisions(account_id)
    sparks = _sparks(account_id, [bot.book_id for bot in bots])
    return [
        BotLine(
            bot=bot,
            colour=place % COLOURS,
            symbols=tuple(instrument.symbol for instrument in markets[bot.pk]),
            decision=newest.get(bot.book_id),
            spark=sparks.get(bot.book_id, ""),
        )
        for place, bot in enumerate(bots)
    ]


def health_figures(account: Account | None, signs: Iterable[Sign], *, now: datetime) -> Figures:
    """Return the figures of the health bar; ages are moments, the page counts the seconds."""
    found: Figures = {}
    for sign in signs:
        kind = sign.process.split()[0]
        at = None if sign.beat_at is None else sign.beat_at.isoformat()
        found[f"health.{kind}"] = Figure(at, "no sign of life" if at is None else "", "good" if sign.is_fresh else "bad")
    if account is not None:
        killed = account.is_killed
        found["health.prices"] = market_data.price_figure(account)
        unacknowledged, critical = count_open()
        found["health.alarms"] = figures.alarms(unacknowledged + open_drifts().count(), critical)
        found["health.state"] = Figure(account.state, _state(account), "bad" if killed else _STATE_TONES[account.state])
        newest = DecisionRecord.objects.filter(book__account=account).order_by("-id")
        measured = pace(list(newest.values_list("bar_closed_at", "recorded_at")[:PACE_DECISIONS]))
        found["health.speed"] = Figure(measured, f"{measured} x" if measured else "")
        found |= figures.of_risk(risk_view(account.pk, now=now))
    return found


def bots_figures(lines: Sequence[BotLine]) -> Figures:
    """Return what bots are doing."""
    found: Figures = {}
    for line in lines:
        name = f"bot.{line.bot.pk}"
        found[f"{name}.status"] = Figure(line.bot.status, line.bot.get_status_display(), line.status_tone)
        if line.decision is not None:
            code = line.decision.denial or line.decision.reason
            found[f"{name}.reason"] = Figure(code, formats.words(code), "warn" if line.decision.denial else "")
            found[f"{name}.decided"] = figures.moment(line.decision.bar_closed_at)
    return found


def pace(moments: Sequence[tuple[datetime, datetime]]) -> str:
    """Return how many seconds of market time pass in one of wall time, measured on decisions, newest first."""
    if len(moments) < 2:
        return ""
    market = (moments[0][0] - moments[-1][0]).total_seconds()
    wall = (moments[0][1] - moments[-1][1]).total_seconds()
    if market <= 0 or wall <= 0:
        return ""
    return f"{market / wall:.0f}" if market > 10 * wall else f"{market / wall:.1f}"


_STATE_TONES = {"starting": "warn", "active": "good", "entries_halted": "bad", "halted": "bad"}


def _state(account: Account) -> str:
    if account.is_killed:
        return "Stopped by kill switch"
    text = account.get_state_display()
    return f"{text}: {formats.words(account.state_reason)}" if account.state_reason else text


def _sparks(account_id: int, book_ids: Sequence[int]) -> dict[int, str]:
    """Draw each book's newest equity as the points of a line in a box of 100 by 28."""
    lines = {}
    for book_id in book_ids:
        rows = EquityPoint.objects.filter(account=account_id, book=book_id).order_by("-market_at")
        values = list(rows.values_list("equity", flat=True)[:SPARKS])[::-1]
        if len(values) > 1:
            low, span = min(values), (max(values) - min(values)) or Decimal(1)
            step = Decimal(100) / (len(values) - 1)
            points = [f"{place * step:.1f},{26 - (value - low) / span * 24:.1f}" for place, value in enumerate(values)]
            lines[book_id] = " ".join(points)
    return lines
