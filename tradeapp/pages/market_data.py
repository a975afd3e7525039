"""Parts of pages that tell how market data fares: feeds with their doubts, prices of two exchanges, sources beyond price."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.utils import timezone

from marketdata import comparisons
from marketdata.models import Market, PriceHealth
from marketdata.selectors import FEED_LOOKS_WITHIN, markets_to_feed
from marketdata.sources import showing
from portfolio.models import Account, Heartbeat
from tradeapp.pages.figures import Figure
from tradeapp.pages.formats import words


def feeds(_request: HttpRequest, context: dict[str, Any]) -> None:
    """List the feeds of markets in use, and every instrument whose prices are in doubt."""
    beats = {row.process.replace(":", " "): row for row in Heartbeat.objects.filter(process__startswith="feed")}
    markets = Market.objects.filter(id__in=markets_to_feed()).order_by("id")
    context["feeds"] = [{"market": market, "facts": _facts(beats.get(f"feed {market.pk}"))} for market in markets]
    doubts = PriceHealth.objects.filter(instrument__market__in=[market.pk for market in markets]).exclude(doubt="")
    rows = doubts.select_related("instrument").order_by("instrument__symbol")
    context["doubts"] = [{"row": row, "words": words(row.doubt)} for row in rows]


def source_lines(_request: HttpRequest, context: dict[str, Any]) -> None:
    """List the sources beyond price, what they said last, and whether that is still worth anything."""
    found = showing.lines(now=timezone.now())
    for line in found:
        line["every"] = _span(line["cadence_seconds"])
        line["good_for"] = _span(line["age_seconds_max"])
    context |= {"sources": found, "sources_on": sum(line["is_enabled"] for line in found)}


def price_comparisons(_request: HttpRequest, context: dict[str, Any]) -> None:
    """Compare the prices of coins that two exchanges are followed for."""
    context["comparisons"] = comparisons.comparisons(now=timezone.now())


def _span(seconds: float) -> str:
    """Write a time as people say it."""
    for length, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length and seconds % length == 0:
            count = int(seconds // length)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds:g} seconds"


def price_figure(account: Account) -> Figure:
    """Say for the health bar whether prices can be trusted, how long the last candle took, and how quiet the quietest is."""
    rows = PriceHealth.objects.filter(instrument__market=account.market_id)
    states = list(rows.values_list("doubt", "looked_at"))
    if not states:
        return Figure(None, "not watched yet", "warn")
    now = timezone.now()
    bad = sum(bool(doubt) or now - looked_at > FEED_LOOKS_WITHIN for doubt, looked_at in states)
    beat = Heartbeat.objects.filter(process=f"feed {account.market_id}").first()
    told = [f"{bad} of {len(states)} in doubt" if bad else "live", *_timing(_facts(beat) or {})]
    return Figure(str(bad), " · ".join(told), "bad" if bad else "good")


def _timing(facts: dict[str, Any]) -> list[str]:
    took, quiet = facts.get("bar_ms"), facts.get("silent_seconds")
    return [f"{took} ms"] * (took is not None) + [f"quiet {quiet:.0f} s"] * (quiet is not None and quiet >= 1)


def _facts(beat: Heartbeat | None) -> dict[str, Any] | None:
    return None if beat is None else beat.facts


PARTS: Final = {"feeds": feeds, "sources": source_lines, "comparisons": price_comparisons}
