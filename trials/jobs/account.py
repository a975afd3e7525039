"""Take a trial on the account one step further: give the account to the next bot, measure, and give it back in the end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import structlog
from django.db import InterfaceError, OperationalError, transaction

from bots.jobs.due import is_settled
from bots.models import Bot
from bots.services import Wish, switch_mode
from portfolio.jobs.risk import market_time
from portfolio.models import Account
from portfolio.selectors import modes
from portfolio.services.modes import UnableToSwitch
from portfolio.writers import accounts
from trading.handover import Mode, Phase
from trials import writers
from trials.models import Trial, TrialLeg
from trials.selectors.measuring import account_turn
from trials.selectors.rows import holding, is_due, running_leg
from trials.writers import Asked

log = structlog.get_logger(__name__)

# What a later look may find gone by itself; anything else ends the attempt.
_PASSING: Final = ("MODE_ORDERS_UNKNOWN", "DATA_STALE")


def take_step(*, account_id: int, clock: Callable[[], datetime]) -> bool:
    """Do what the trial of an account calls for at this market time; false when there was nothing to do.

    Whatever a crash could lose is in the tables when the transaction ends, and the next look goes on from there.
    """
    account = Account.objects.select_related("market").get(id=account_id)
    market_at = market_time(account)
    if market_at is None or not is_due(account_id, market_at) or not is_settled(account_id, market_at):
        return False
    now = clock()
    try:
        with transaction.atomic():
            trial = _locked(account_id, market_at)
            if trial is None:
                return False
            _advance(trial, market_at, now)
            if trial.looked_at != market_at:
                writers.note_look(trial, market_at)
    except UnableToSwitch as refused:
        _put_up_with(account_id, market_at, refused.code, str(refused), now)
    except (InterfaceError, OperationalError):
        # The database is away or another took the lock: the next look finds everything as it was.
        raise
    except Exception as error:
        # The market waits for this step: whatever is wrong with it must not hold everybody else up.
        log.exception("trial.broken", account=account_id)
        _put_up_with(account_id, market_at, "INTERNAL", f"{type(error).__name__}: {error}", now)
    return True


def _locked(account_id: int, market_at: datetime) -> Trial | None:
    # First the account, as everybody who changes one of the two locks them.
    accounts.lock(account_id)
    found = holding(account_id)
    if found is None:
        return None
    trial = Trial.objects.select_for_update(of=("self",)).select_related("account", "requested_by").get(id=found.pk)
    return trial if is_due(account_id, market_at) else None


def _advance(trial: Trial, market_at: datetime, now: datetime) -> None:
    if trial.account.is_killed:
        # Who stopped everything decides what comes next.
        _end(trial, Trial.State.FAILED, now, error="KILL_ACTIVE: the account was stopped. Its mode was left as it is.")
        return
    if trial.state == Trial.State.RESTORING:
        _restore(trial, market_at, now)
        return
    leg = running_leg(trial)
    if leg is not None:
        _follow(trial, leg, market_at, now)
        if leg.state != TrialLeg.State.DONE:
            return
    following = trial.legs.filter(state=TrialLeg.State.QUEUED).order_by("number").first()
    if following is not None and trial.state == Trial.State.RUNNING:
        _give(trial, following, market_at, now)
    elif trial.state == Trial.State.RUNNING:
        asked = Asked(by=trial.requested_by, now=now)
        writers.change_state(trial, Trial.State.RESTORING, asked, action="trial.over")
        _restore(trial, market_at, now)


def _give(trial: Trial, leg: TrialLeg, market_at: datetime, now: datetime) -> None:
    """Have a bot trade alone, through the same switch that an operator uses: whoever leaves is sold out first."""
    wish = Wish(mode=str(Mode.SINGLE), bot=leg.name if leg.bot is None else leg.bot.key, budget=trial.budget)
    _switch(trial, wish, f"{trial.holder}: {leg.name}", market_at, now)
    row = modes.newest_hand_over(trial.account_id)
    assert row is not None
    writers.begin_turn(leg, epoch=row.epoch, asked_at=market_at, now=now)
    log.info("trial.turn", trial=trial.pk, turn=leg.number, bot=leg.name)


def _follow(trial: Trial, leg: TrialLeg, market_at: datetime, now: datetime) -> None:
    row = modes.newest_hand_over(trial.account_id)
    assert row is not None
    assert leg.asked_at is not None
    if row.epoch != leg.epoch:
        _end(trial, Trial.State.FAILED, now, error="MODE_CHANGED: somebody else was given the account in the middle of a turn.")
        return
    if leg.begin_at is None and row.phase == Phase.SETTLED and row.settled_at is not None:
        writers.set_span(leg, begin_at=max(row.settled_at, leg.asked_at), hours=trial.hours)
    if leg.end_at is None or market_at < leg.end_at:
        return
    status = Bot.objects.filter(book=leg.book_id).values_list("status", flat=True).first()
    note = "" if status == Bot.Status.RUNNING else f"The bot was {status or 'gone'} when its turn ended."
    writers.finish_turn(leg, account_turn(leg), now=now, note=note)


def _restore(trial: Trial, market_at: datetime, now: datetime) -> None:
    """Go back to the mode before, then the trial is over."""
    was = trial.mode_before
    budget = Decimal(was["budget"]) if was["budget"] else None
    wish = Wish(mode=was["mode"], bot=was["bot"], budget=budget, rotation=was["rotation"])
    _switch(trial, wish, f"{trial.holder} is over", market_at, now)
    is_whole = not trial.legs.exclude(state=TrialLeg.State.DONE).exists()
    _end(trial, Trial.State.DONE if is_whole else Trial.State.CANCELLED, now)


def _switch(trial: Trial, wish: Wish, reason: str, market_at: datetime, now: datetime) -> None:
    asked: dict[str, Any] = {"by": trial.requested_by, "now": now, "market_at": market_at, "holder": trial.holder}
    switch_mode(account_id=trial.account_id, wish=wish, reason=reason, **asked)


def _end(trial: Trial, state: str, now: datetime, *, error: str = "") -> None:
    writers.put_back_turns(trial)
    actions = {Trial.State.DONE: "trial.done", Trial.State.CANCELLED: "trial.cancelled", Trial.State.FAILED: "trial.failed"}
    asked = Asked(by=trial.requested_by, now=now)
    writers.change_state(trial, state, asked, action=actions[Trial.State(state)], error=error)
    log.info("trial.ended", trial=trial.pk, state=state, error=error)


def _put_up_with(account_id: int, market_at: datetime, code: str, message: str, now: datetime) -> None:
    """Wait where waiting helps; otherwise end the trial and say why, with the mode as it is."""
    with transaction.atomic():
        trial = _locked(account_id, market_at)
        if trial is None:
            return
        log.warning("trial.refused", trial=trial.pk, code=code, reason=message)
        if code in _PASSING:
            writers.note_look(trial, market_at, code=code, message=message)
            return
        _end(trial, Trial.State.FAILED, now, error=f"{code}: {message}")
