"""Whose turn it is: what the operator's mode says to a book that wants to enter."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from trading.desk.desk import Desk
from trading.desk.refusals import Refusal
from trading.handover import EXCLUSIVE, Mode, Phase, Stance

BOT_NOT_ACTIVE: Final = "MODE_BOT_NOT_ACTIVE"
SLOT_CLOSED: Final = "MODE_SLOT_CLOSED"


def turn_refusal(desk: Desk, book_id: int) -> Refusal | None:
    """Refuse a book whose turn it is not; market time alone decides, whoever is late in switching."""
    stance = desk.stance
    if stance is None or stance.mode not in EXCLUSIVE:
        return None
    why = _why_not(stance, book_id, desk.market_at)
    if why is None:
        return None
    names = sorted(desk.books[active].name for active in stance.active if active in desk.books)
    facts: dict[str, Any] = {"book": desk.books[book_id].name, "mode": str(stance.mode), "active": names, "epoch": stance.epoch}
    return Refusal(SLOT_CLOSED if stance.mode == Mode.ROTATION else BOT_NOT_ACTIVE, facts | why)


def _why_not(stance: Stance, book_id: int, at: datetime) -> dict[str, str] | None:
    if stance.phase != Phase.SETTLED:
        return {"hand_over": str(stance.phase)}
    if book_id not in stance.active:
        return {}
    if stance.since is not None and at <= stance.since:
        # The candle at whose close the account passed on was decided by nobody, whether worker or trader came first.
        return {"opens_after": stance.since.isoformat()}
    if stance.until is not None and at >= stance.until:
        return {"closed_at": stance.until.isoformat()}
    return None
