"""The parts of the page of sub-accounts that renew themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.http import HttpRequest
from django.utils import timezone

from bots.models import Bot
from portfolio.families_view import family_view, proposals_view
from portfolio.models import Account, AccountTransfer
from portfolio.services import propose_transfers

_TONES: Final = {"starting": "warn", "active": "good", "entries_halted": "bad", "halted": "bad"}
_TRANSFER_TONES: Final = {"done": "good", "refused": "bad", "absent": "bad"}


def gather(_request: HttpRequest, context: dict[str, Any]) -> None:
    """Gather what renews itself: accounts, transfers and proposals."""
    shown: Account = context["account"]
    master = shown if shown.master_id is None else Account.objects.select_related("market").get(id=shown.master_id)
    now = timezone.now()
    family = family_view(master, now=now)
    ids = [row["account"] for row in family["accounts"]]
    bots = dict[int, list[Bot]]()
    for bot in Bot.objects.filter(book__account__in=ids).select_related("book").order_by("rank"):
        bots.setdefault(bot.book.account_id, []).append(bot)
    names = {row["account"]: row["name"] for row in family["accounts"]}
    proposals = proposals_view(propose_transfers(master.pk, now=now))
    for row in family["accounts"]:
        row |= {"traders_bots": bots.get(row["account"], []), "tone": "bad" if row["is_killed"] else _TONES[row["state"]]}
    for row in (*family["transfers"], *proposals["moves"]):
        row |= {
            "from": names[row["sender"]],
            "to": names[row["receiver"]],
            "tone": _TRANSFER_TONES.get(row.get("state", ""), "warn"),
        }
    open_states = {str(state) for state in AccountTransfer.OPEN}
    context |= {
        "master": master,
        "family": family,
        "proposals": proposals,
        "subs": [row for row in family["accounts"] if not row["is_master"]],
        "under_way": [row for row in family["transfers"] if row["state"] in open_states],
    }


PARTS: Final[Mapping[str, Callable[[HttpRequest, dict[str, Any]], None]]] = {
    "family": gather,
    "family_moves": gather,
}
