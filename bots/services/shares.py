"""Set the bots' shares of the account, as the percentage mode does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from bots import lineups
from bots.models import Bot
from portfolio.services import set_allocations
from portfolio.services.allocations import AllocationPlan

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def set_shares(
    *,
    account_id: int,
    percents: Mapping[int, Decimal],
    by: User | None,
    now: datetime,
    market_at: datetime | None = None,
    request_id: str = "",
    after_flows: bool | None = None,
) -> AllocationPlan:
    """Give bots (by id) their shares of the account's worth; bots that are not named keep theirs.

    `after_flows` says whether deposits are dealt out by the shares from now on; None leaves that as it is.
    """
    books = dict(Bot.objects.filter(book__account_id=account_id, id__in=percents).values_list("id", "book_id"))
    return set_allocations(
        account_id=account_id,
        percents={books[bot_id]: share for bot_id, share in percents.items()},
        by=by,
        now=now,
        market_at=market_at,
        request_id=request_id,
        policy={} if after_flows is None else {"rebases_after_flows": after_flows},
    )


def read_shares(words: Sequence[str], bots: Sequence[Bot], aliases: Mapping[str, Sequence[str]]) -> dict[int, Decimal]:
    """Read `BOT=PCT` words; raises UnknownBot or BadPlan with what to do."""
    percents: dict[int, Decimal] = {}
    for word in words:
        name, separator, text = word.partition("=")
        if not separator:
            raise lineups.BadPlan(f"Write BOT=PERCENT, for example {bots[0].name if bots else 'GridTrading'}=20, not {word!r}.")
        bot = lineups.find(name, bots, aliases)
        if bot.pk in percents:
            raise lineups.BadPlan(f"{bot.name} is named twice.")
        percents[bot.pk] = lineups.percent(text, f"The share of {bot.name}")
    lineups.check_percents({bot.name: percents[bot.pk] for bot in bots if bot.pk in percents})
    return percents
