"""What a person may ask of trials: one transaction each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction

from bots import lineups
from bots.models import Bot
from bots.selectors import bots as bots_of
from bots.selectors import instruments_of
from bots.services import rotation_in_words
from portfolio.asking import demand_confirmation
from portfolio.models import Account, Position
from portfolio.selectors import modes
from portfolio.services import preview_allocations, set_allocations
from portfolio.services.allocations import AllocationPlan
from portfolio.writers import accounts
from strategies import registry
from trading.compilation import sources_hash
from trading.handover import Mode
from trials import selectors, tasks, writers
from trials.models import Trial
from trials.spec import AccountTrial, Obstacle, Spec, UnableToTry, wrong
from trials.writers import Asked

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_PPM = 1_000_000


def request_trial(*, account_id: int, spec: Spec, by: User | None, now: datetime, request_id: str = "") -> Trial:
    """Begin a trial on the account, or queue a simulated one; raises UnableToTry with all that is in the way."""
    asked = Asked(by=by, now=now, request_id=request_id)
    with transaction.atomic():
        account = accounts.lock(account_id)
        if isinstance(spec, AccountTrial):
            # Before its bots are looked for: those of sub-accounts are not this account's.
            _demand_possible(selectors.trading_apart(account))
        bots = _bots(account_id, spec.bots)
        _demand_possible(wrong(spec, [(bot.name, bot.interval) for bot in bots]))
        terms: dict[str, Any] = {"source_hash": sources_hash()}
        if isinstance(spec, AccountTrial):
            _demand_possible(selectors.obstacles(account, bots))
            if account.mode == Account.Mode.LIVE:
                demand_confirmation("have bots trade real money one after another")
            bots = _flat_one_first(bots)
            terms |= {"budget": spec.budget, "mode_before": _mode_now(account)}
        else:
            market = account.market
            terms |= {
                "begin_at": spec.begin_at,
                "folder": spec.folder,
                "allocation": spec.allocation,
                "taker_fee": Decimal(market.taker_fee_ppm) / _PPM,
                "maker_fee": Decimal(market.maker_fee_ppm) / _PPM,
                "half_spread": spec.half_spread,
                "slippage": spec.slippage,
            }
        trial = writers.add_trial(account=account, spec=spec, bots=bots, setups=_setups(bots), terms=terms, asked=asked)
        _ring(trial)
        return trial


def cancel_trial(*, trial_id: int, by: User | None, now: datetime, request_id: str = "") -> Trial:
    """End a trial; finished turns stay, and an account goes back to the mode it had."""
    asked = Asked(by=by, now=now, request_id=request_id)
    with transaction.atomic():
        trial = _locked(trial_id)
        is_held = trial.kind == Trial.Kind.ACCOUNT and trial.state == Trial.State.RUNNING
        if not is_held and trial.state not in (Trial.State.QUEUED, Trial.State.RUNNING):
            raise UnableToTry("TRIAL_IS_OVER", f"Trial {trial_id} is {trial.get_state_display().lower()} already.")
        writers.put_back_turns(trial)
        state = Trial.State.RESTORING if is_held else Trial.State.CANCELLED
        writers.change_state(trial, state, asked, action="trial.cancel", looked_at=None)
        _ring(trial)
        return trial


def resume_trial(*, trial_id: int, by: User | None, now: datetime, request_id: str = "") -> Trial:
    """Go on with a trial that was cancelled or failed: finished turns stay, the one that was cut short begins anew."""
    asked = Asked(by=by, now=now, request_id=request_id)
    with transaction.atomic():
        account_id = selectors.trial(trial_id).account_id
        account = accounts.lock(account_id)
        trial = _locked(trial_id)
        if trial.state not in (Trial.State.CANCELLED, Trial.State.FAILED):
            raise UnableToTry(
                "TRIAL_NOT_RESUMABLE", f"Trial {trial_id} is {trial.get_state_display().lower()}: nothing to resume."
            )
        values: dict[str, Any] = {"finished_at": None, "looked_at": None, "started_at": None, "source_hash": sources_hash()}
        state = Trial.State.QUEUED
        if trial.kind == Trial.Kind.ACCOUNT:
            left = set(trial.legs.exclude(state="done").values_list("book", flat=True))
            _demand_possible(selectors.obstacles(account, [bot for bot in bots_of(account_id) if bot.book_id in left]))
            if account.mode == Account.Mode.LIVE:
                demand_confirmation("have bots trade real money one after another")
            state = Trial.State.RUNNING
            values |= {"started_at": now, "mode_before": _mode_now(account)}
        writers.put_back_turns(trial)
        writers.change_state(trial, state, asked, action="trial.resume", **values)
        _ring(trial)
        return trial


def preview_proposal(*, trial_id: int) -> AllocationPlan:
    """Show what applying the proposal would do to the shares now."""
    trial = selectors.trial(trial_id)
    return preview_allocations(account_id=trial.account_id, percents=_proposed(trial))


def apply_proposal(
    *,
    trial_id: int,
    by: User | None,
    now: datetime,
    despite_doubts: bool = False,
    expected: int | None = None,
    request_id: str = "",
) -> AllocationPlan:
    """Make the proposal the shares, through the service an operator uses: a new version, with its audit and confirmation.

    Where the sample supports no choice it is refused, unless the person says that they want it all the same. `expected` is
    the version of the shares that was looked at: if somebody made another one meanwhile, nothing changes.
    """
    with transaction.atomic():
        trial = selectors.trial(trial_id)
        accounts.lock(trial.account_id)
        trial = _locked(trial_id)
        if trial.state in selectors.rows.UNDER_WAY:
            raise UnableToTry("TRIAL_UNDER_WAY", f"Trial {trial_id} is not over: wait for it or cancel it.")
        found = selectors.compare(trial)
        if not found.has_results:
            raise UnableToTry("TRIAL_EMPTY", f"No turn of trial {trial_id} was finished: there is nothing to go by.")
        grave = [Obstacle(doubt.code, doubt.message) for doubt in found.doubts if doubt.is_grave]
        if grave and not despite_doubts:
            words = " ".join(one.message for one in grave)
            raise UnableToTry(
                "TRIAL_SUPPORTS_NO_CHOICE", f"The sample supports no choice: {words} Say so if you want it all the same.", grave
            )
        percents = {row.book_id: row.verdict.percent for row in found.rows}
        asked: dict[str, Any] = {"by": by, "now": now, "request_id": request_id}
        note = f"Proposed by trial {trial_id}"
        plan = set_allocations(account_id=trial.account_id, percents=percents, expected=expected, note=note, **asked)
        facts = {
            "doubts": [one.code for one in found.doubts],
            "shares": {str(book): str(part) for book, part in percents.items()},
        }
        writers.note_applied(trial, version=plan.number, asked=Asked(**asked), facts=facts)
        return plan


def _proposed(trial: Trial) -> dict[int, Decimal]:
    return {row.book_id: row.verdict.percent for row in selectors.compare(trial).rows}


def _bots(account_id: int, names: Sequence[str]) -> list[Bot]:
    known, aliases = list(bots_of(account_id)), lineups.aliases_of(lineups.load())
    try:
        return [lineups.find(name, known, aliases) for name in names] if names else known
    except lineups.UnknownBot as error:
        raise UnableToTry("BOT_UNKNOWN", str(error)) from error


def _demand_possible(found: Sequence[Obstacle]) -> None:
    if found:
        raise UnableToTry(found[0].code, " ".join(one.message for one in found), found)


def _flat_one_first(bots: list[Bot]) -> list[Bot]:
    """Let a bot begin that holds nothing: what the others hold is sold when it is given the account."""
    held = Position.objects.filter(book__in=[bot.book_id for bot in bots]).select_related("instrument")
    holders = {position.book_id for position in held if position.quantity >= position.instrument.lot_size}
    flat = next((bot for bot in bots if bot.book_id not in holders), None)
    if flat is None:
        names = ", ".join(bot.name for bot in bots)
        raise UnableToTry(
            "TRIAL_BOT_HOLDS", f"The first bot must hold nothing, and all do ({names}): flatten one and start it again."
        )
    return [flat, *(bot for bot in bots if bot is not flat)]


def _mode_now(account: Account) -> dict[str, Any]:
    version = modes.newest_version(account.pk)
    is_in_force = version is not None and version.mode == account.allocation_mode
    if version is None or not is_in_force:
        return {"mode": account.allocation_mode, "bot": "", "budget": "", "rotation": ""}
    bots = list(bots_of(account.pk))
    return {
        "mode": version.mode,
        "bot": next((bot.key for bot in bots if bot.book_id == version.book_id), ""),
        "budget": "" if version.budget is None else str(version.budget),
        "rotation": rotation_in_words(version, bots) if version.mode == Mode.ROTATION else "",
    }


def _setups(bots: Sequence[Bot]) -> dict[int, Any]:
    """Keep what the bots are now: what a bot becomes later is another bot's trial."""
    markets = instruments_of([bot.pk for bot in bots])
    return {
        bot.pk: {
            "strategy": bot.strategy,
            "strategy_hash": registry.definition(bot.strategy).source_hash,
            "params": registry.param_values(bot.strategy, bot.params, bot.interval),
            "interval": bot.interval,
            "instruments": [instrument.pk for instrument in markets[bot.pk]],
            "symbols": [instrument.symbol for instrument in markets[bot.pk]],
        }
        for bot in bots
    }


def _locked(trial_id: int) -> Trial:
    found = (
        Trial.objects.select_for_update(of=("self",))
        .select_related("account__market", "requested_by")
        .filter(id=trial_id)
        .first()
    )
    if found is None:
        raise selectors.NoSuchTrial(f"There is no trial {trial_id}.")
    return found


def _ring(trial: Trial) -> None:
    if trial.kind == Trial.Kind.ACCOUNT:
        transaction.on_commit(partial(tasks.advance.delay, account_id=trial.account_id))
    elif trial.state == Trial.State.QUEUED:
        transaction.on_commit(partial(tasks.simulate.delay, trial_id=trial.pk))
