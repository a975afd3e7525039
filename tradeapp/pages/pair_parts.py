"""The part of the page of arbitrage that renews itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from django.http import HttpRequest
from django.utils import timezone

from bots.pairs_view import pairs_of_bots_view
from portfolio.selectors.pairs import BOTH_LEGS, NEITHER, ON_ITS_WAY, ONE_LEG, PARTIAL, TradedPair, newest_pairs
from tradeapp.pages import formats

ROWS: Final = 50
_TONES: Final = {ON_ITS_WAY: "warn", BOTH_LEGS: "good", PARTIAL: "warn", ONE_LEG: "bad", NEITHER: ""}
_STATUS_TONES: Final = {"running": "good", "paused": "warn", "halted": "bad"}


def gather(_request: HttpRequest, context: dict[str, Any]) -> None:
    """Gather every pair of bots with its newest pairs, and their results added up."""
    pairs = pairs_of_bots_view(now=timezone.now())
    traded = newest_pairs([(pair["leader"]["book"], pair["follower"]["book"]) for pair in pairs], limit=ROWS)
    for pair, mine in zip(pairs, traded, strict=True):
        sides = (pair["leader"], pair["follower"])
        for side in sides:
            side |= {"tone": _STATUS_TONES.get(side["status"], ""), "fee_text": formats.share(side["fee"] * 100)}
        edge = pair["edge"]
        edge["fees_text"] = formats.share(edge["fees"] * 100)
        pair |= {
            "sides": sides,
            "rows_id": f"pair-rows-{pair['leader']['bot']}",
            "traded": [_row(one) for one in mine],
            "drawn": _added_up(mine),
            "unfunded": [side for side in sides if not side["percent"]],
            "ways": [
                _way(pair["leader"], pair["follower"], edge["buying_leader"], edge["needed"]),
                _way(pair["follower"], pair["leader"], edge["buying_follower"], edge["needed"]),
            ],
        }
    context["pairs"] = pairs


def _row(pair: TradedPair) -> dict[str, Any]:
    bought, sold = pair.legs
    return {"pair": pair, "bought": bought, "sold": sold, "tone": _TONES[pair.state]}


def _way(buy: Mapping[str, Any], sell: Mapping[str, Any], left: Any, needed: Any) -> dict[str, Any]:
    return {
        "buy": buy["account_name"],
        "sell": sell["account_name"],
        "left": left,
        "is_enough": left is not None and left >= needed,
    }


def _added_up(pairs: Sequence[TradedPair]) -> list[tuple[str, int, str, str]]:
    """Add up the results of pairs that are done, oldest first: when, which, its result, and all up to it."""
    done = [pair for pair in reversed(pairs) if pair.state != ON_ITS_WAY]
    totals = accumulate(pair.result for pair in done)
    return [
        (pair.market_at.isoformat(), pair.number, f"{pair.result:f}", f"{total:f}")
        for pair, total in zip(done, totals, strict=True)
    ]


PARTS: Final[Mapping[str, Callable[[HttpRequest, dict[str, Any]], None]]] = {"pairs": gather}
