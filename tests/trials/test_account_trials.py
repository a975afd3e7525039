"""Trials on the account: one bot after another through the modes of operators, and back to what was before."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DataError, IntegrityError, OperationalError, transaction
from django.test import Client
from django.urls import reverse

from bots import jobs as bot_jobs
from bots.models import Bot
from bots.services import Wish, pause_bot, switch_mode
from portfolio.jobs import modes as mode_jobs
from portfolio.models import Account, AuditEntry, HandOver
from portfolio.selectors.allocations import newest_version as newest_shares
from portfolio.selectors.modes import active_books, newest_version
from portfolio.services import kill, open_account, release_kill, set_allocations
from portfolio.services.allocations import UnableToAllocate
from portfolio.services.modes import UnableToSwitch
from portfolio.writers.books import open_book
from tests.bots.conftest import NOW, Desk, clock, desk, quiet
from tradeapp import roles
from tradeapp.access import Role
from trials import jobs, selectors, services
from trials.models import Trial, TrialLeg
from trials.spec import AccountTrial, UnableToTry

__all__ = ["desk"]
D = Decimal


@pytest.fixture
def pair(desk: Desk) -> Desk:
    """Have two bots run, with history."""
    desk.bot("FIRST")
    desk.bot("SECOND", symbol="ETH/USDT")
    desk.history(quiet)
    Account.objects.filter(pk=desk.account.pk).update(synced_through_at=desk.market_at)
    return desk


def begin(desk: Desk, **changes: Any) -> Trial:
    asked: dict[str, Any] = {"bots": ("FIRST", "SECOND"), "hours": 1}
    spec = AccountTrial(**(asked | changes))
    return services.request_trial(account_id=desk.account.pk, spec=spec, by=None, now=NOW)


def step(desk: Desk) -> None:
    """Do what worker and trader do at a moment of the market."""
    bot_jobs.advance_account(account_id=desk.account.pk, clock=clock)
    jobs.take_step(account_id=desk.account.pk, clock=clock)
    with transaction.atomic():
        mode_jobs.act(Account.objects.select_for_update().get(pk=desk.account.pk), now=NOW)


def go_on(desk: Desk, bars: int) -> None:
    """Let candles close one after another, unseen until the last."""
    desk.close_bars([100.0] * bars)
    step(desk)


def sub_account(desk: Desk) -> Account:
    """Open an account of no money under the desk's."""
    words: dict[str, Any] = {"name": "sub", "mode": "paper", "deploy": "sub", "quote_asset": "USDT", "venue_uid": "sub"}
    made = open_account(market=desk.market, balances={}, books=[], now=NOW, market_at=desk.market_at, **words)
    made.master_id, made.venue_name = desk.account.pk, "sub@venue"
    made.save(update_fields=["master", "venue_name"])
    return made


def trading(desk: Desk) -> list[str]:
    """Name who may enter now."""
    books = active_books(Account.objects.get(pk=desk.account.pk))
    return list(Bot.objects.filter(book__in=books).order_by("rank").values_list("key", flat=True))


def code_of(attempt: Any) -> str:
    with pytest.raises((UnableToTry, UnableToSwitch)) as refused:
        attempt()
    return str(vars(refused.value)["code"])


def test_each_bot_has_the_account_for_its_hours_and_then_all_is_as_before(pair: Desk) -> None:
    trial = begin(pair, budget=D(1000))
    step(pair)
    assert trading(pair) == ["FIRST"]
    began = pair.market_at
    go_on(pair, 11)
    assert trading(pair) == ["FIRST"]
    go_on(pair, 1)
    assert trading(pair) == ["SECOND"]
    go_on(pair, 12)

    assert selectors.trial(trial.pk).state == Trial.State.DONE
    account = Account.objects.get(pk=pair.account.pk)
    assert account.allocation_mode == "percentage"
    assert trading(pair) == ["FIRST", "SECOND"]
    first, second = trial.legs.order_by("number")
    assert (first.begin_at, first.end_at) == (began, began + timedelta(hours=1))
    assert (second.begin_at, second.end_at) == (began + timedelta(hours=1), began + timedelta(hours=2))
    assert len(first.outcome["times"]) == 1
    assert first.outcome["starting_equity"] == 1000.0
    assert (first.pnl, first.outcome["trips"]) == (D(0), [])
    actions = AuditEntry.objects.filter(subject=f"trial:{trial.pk}").order_by("id").values_list("action", flat=True)
    assert list(actions) == ["trial.request", "trial.over", "trial.done"]
    reasons = [version.reason for version in account.mode_versions.order_by("number")]
    assert [reason.split(":")[0] for reason in reasons] == [f"trial {trial.pk}"] * 2 + [f"trial {trial.pk} is over"]


def test_a_second_look_at_the_same_moment_changes_nothing(pair: Desk) -> None:
    begin(pair)
    step(pair)
    epoch = HandOver.objects.count()
    step(pair)
    assert not jobs.take_step(account_id=pair.account.pk, clock=clock)
    assert HandOver.objects.count() == epoch


def test_the_mode_is_nobody_elses_while_a_trial_runs(pair: Desk) -> None:
    trial = begin(pair)
    step(pair)

    def switch() -> None:
        switch_mode(account_id=pair.account.pk, wish=Wish(mode="percentage"), by=None, now=NOW)

    assert code_of(switch) == "MODE_TRIAL_RUNNING"
    assert code_of(lambda: begin(pair)) == "TRIAL_RUNNING"
    services.cancel_trial(trial_id=trial.pk, by=None, now=NOW)
    step(pair)
    assert selectors.trial(trial.pk).state == Trial.State.CANCELLED
    switch_mode(account_id=pair.account.pk, wish=Wish(mode="single", bot="FIRST"), by=None, now=NOW)


def test_a_trial_goes_back_to_the_very_mode_there_was(pair: Desk) -> None:
    wish = Wish(mode="rotation", rotation="daily 00:00-12:00 FIRST carry\ndaily 12:00-24:00 SECOND", budget=D(500))
    switch_mode(account_id=pair.account.pk, wish=wish, by=None, now=NOW)
    before = newest_version(pair.account.pk)
    begin(pair)
    step(pair)
    go_on(pair, 12)
    go_on(pair, 12)
    after = newest_version(pair.account.pk)
    assert before is not None
    assert after is not None
    assert (after.mode, after.budget, after.number) == ("rotation", D(500), before.number + 3)
    assert list(after.slots.values_list("begin_minute", "book", "policy")) == list(
        before.slots.values_list("begin_minute", "book", "policy")
    )


def test_what_is_in_the_way_is_said_all_at_once(pair: Desk) -> None:
    kill(pair.account.pk, by=None, reason="test", now=NOW)
    pause_bot(bot_id=Bot.objects.get(key="SECOND").pk, by=None, now=NOW)
    with pytest.raises(UnableToTry) as refused:
        begin(pair)
    assert [one["code"] for one in refused.value.facts["obstacles"]] == ["KILL_ACTIVE", "MODE_BOT_NOT_ACTIVE"]
    assert code_of(lambda: begin(pair, bots=("FIRST",))) == "TRIAL_BOTS_FEW"
    assert code_of(lambda: begin(pair, bots=("FIRST", "first"))) == "TRIAL_BOT_TWICE"
    assert code_of(lambda: begin(pair, bots=("FIRST", "FISRT"))) == "BOT_UNKNOWN"
    assert code_of(lambda: begin(pair, hours=0)) == "TRIAL_HOURS_BAD"
    assert code_of(lambda: begin(pair, rounds=10_000)) == "TRIAL_TURNS_BAD"
    assert code_of(lambda: begin(pair, budget=D("NaN"))) == "MODE_BUDGET_BAD"
    assert not Trial.objects.exists()


def test_a_kill_ends_a_trial_and_a_person_decides_what_comes_next(pair: Desk) -> None:
    trial = begin(pair)
    step(pair)
    go_on(pair, 12)
    kill(pair.account.pk, by=None, reason="test", now=NOW)
    go_on(pair, 1)
    found = selectors.trial(trial.pk)
    assert (found.state, found.error.split(":")[0]) == (Trial.State.FAILED, "KILL_ACTIVE")
    assert Account.objects.get(pk=pair.account.pk).allocation_mode == "single"

    assert code_of(lambda: services.resume_trial(trial_id=trial.pk, by=None, now=NOW)) == "KILL_ACTIVE"
    release_kill(pair.account.pk, by=None, reason="test", now=NOW)
    services.resume_trial(trial_id=trial.pk, by=None, now=NOW)
    step(pair)
    assert trading(pair) == ["SECOND"], "the first one's turn was finished and stays"
    go_on(pair, 12)
    found = selectors.trial(trial.pk)
    assert (found.state, found.error) == (Trial.State.DONE, "")
    assert trial.legs.filter(state=TrialLeg.State.DONE).count() == 2


def test_bots_with_sub_accounts_take_no_turns_on_the_master(pair: Desk) -> None:
    """Not asked for anew, and not gone on with where the mode became theirs after a trial was cancelled."""
    trial = begin(pair)
    services.cancel_trial(trial_id=trial.pk, by=None, now=NOW)
    step(pair)
    open_book(sub_account(pair), name="Apart", position_cap_percent=D(100), now=NOW)
    switch_mode(account_id=pair.account.pk, wish=Wish(mode="subaccounts"), by=None, now=NOW)
    step(pair)
    epoch = HandOver.objects.count()

    assert code_of(lambda: begin(pair)) == "TRIAL_SUBACCOUNTS"
    assert code_of(lambda: begin(pair, bots=("Apart", "FIRST"))) == "TRIAL_SUBACCOUNTS"
    assert code_of(lambda: services.resume_trial(trial_id=trial.pk, by=None, now=NOW)) == "TRIAL_SUBACCOUNTS"
    assert selectors.trial(trial.pk).state == Trial.State.CANCELLED
    assert Account.objects.get(pk=pair.account.pk).allocation_mode == "subaccounts"
    assert HandOver.objects.count() == epoch


def test_a_mode_changed_behind_its_back_ends_a_trial(pair: Desk) -> None:
    trial = begin(pair)
    step(pair)
    wish = Wish(mode="single", bot="SECOND")
    switch_mode(account_id=pair.account.pk, wish=wish, by=None, now=NOW, holder=trial.holder)
    go_on(pair, 12)
    assert selectors.trial(trial.pk).error.split(":")[0] == "MODE_CHANGED"


def test_a_step_that_breaks_ends_the_trial_instead_of_holding_the_market(pair: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = begin(pair)
    step(pair)
    monkeypatch.setattr("trials.jobs.account.account_turn", lambda _leg: 1 / 0)
    go_on(pair, 12)
    found = selectors.trial(trial.pk)
    assert (found.state, found.error) == (Trial.State.FAILED, "INTERNAL: ZeroDivisionError: division by zero")
    assert not selectors.is_due(pair.account.pk, pair.market_at)


@pytest.mark.parametrize(("error", "ends"), [(DataError, True), (IntegrityError, True), (OperationalError, False)])
def test_what_the_database_will_always_refuse_ends_the_trial_and_what_passes_does_not(
    pair: Desk, monkeypatch: pytest.MonkeyPatch, error: type[Exception], ends: bool
) -> None:
    trial = begin(pair)
    step(pair)

    def refuse(_leg: TrialLeg) -> None:
        raise error("no")

    with monkeypatch.context() as patch:
        patch.setattr("trials.jobs.account.account_turn", refuse)
        with nullcontext() if ends else pytest.raises(error):
            go_on(pair, 12)
    assert selectors.is_due(pair.account.pk, pair.market_at) is not ends
    step(pair)
    expected = (Trial.State.FAILED, 0) if ends else (Trial.State.RUNNING, 1)
    found = selectors.trial(trial.pk)
    assert (found.state, found.legs.filter(state=TrialLeg.State.DONE).count()) == expected


def test_a_proposal_without_grounds_is_applied_only_by_somebody_who_says_so(pair: Desk) -> None:
    trial = begin(pair)
    assert code_of(lambda: services.apply_proposal(trial_id=trial.pk, by=None, now=NOW)) == "TRIAL_UNDER_WAY"
    step(pair)
    go_on(pair, 12)
    go_on(pair, 12)
    with pytest.raises(UnableToTry) as refused:
        services.apply_proposal(trial_id=trial.pk, by=None, now=NOW)
    assert refused.value.code == "TRIAL_SUPPORTS_NO_CHOICE"
    assert "TRIAL_TRADES_FEW" in {one["code"] for one in refused.value.facts["obstacles"]}

    shares = newest_shares(pair.account.pk)
    seen = shares.number if shares else 0
    with pytest.raises(UnableToAllocate) as outrun:
        services.apply_proposal(trial_id=trial.pk, by=None, now=NOW, despite_doubts=True, expected=seen + 1)
    assert outrun.value.code == "ALLOCATION_STALE"
    plan = services.apply_proposal(trial_id=trial.pk, by=None, now=NOW, despite_doubts=True, expected=seen)
    assert {share.percent for share in plan.shares} == {D(0)}, "nobody earned anything: cash is the choice"
    assert selectors.trial(trial.pk).applied_version == plan.number
    entry = AuditEntry.objects.get(action="trial.apply")
    assert "TRIAL_TRADES_FEW" in entry.after["doubts"]
    set_allocations(account_id=pair.account.pk, percents={Bot.objects.get(key="FIRST").book_id: D(10)}, by=None, now=NOW)


def test_the_admin_shows_ends_and_applies_one_through_the_services(pair: Desk) -> None:
    operator = User.objects.create(username="op", **roles.flags_of(Role.OPERATOR))
    client = Client()
    client.force_login(operator)
    place = reverse("admin:trials_trial_changelist")
    trial = begin(pair)
    step(pair)

    def act(action: str, **more: str) -> str:
        posted = client.post(place, {"action": action, "_selected_action": [trial.pk], **more}, follow=True)
        return " ".join(str(message) for message in posted.context["messages"])

    assert "is not over" in act("apply")
    assert act("cancel") == f"Trial {trial.pk} ends."
    step(pair)
    assert selectors.trial(trial.pk).state == Trial.State.CANCELLED
    assert "already" in act("cancel")
    assert "nothing to go by" in act("apply")
    assert act("resume") == f"Trial {trial.pk} goes on."
    step(pair)
    go_on(pair, 12)
    go_on(pair, 12)
    assert "The sample supports no choice" in act("apply")
    assert act("apply", despite_doubts="on") == f"Trial {trial.pk} is applied."

    found = selectors.trial(trial.pk)
    shares = newest_shares(pair.account.pk)
    assert shares is not None
    assert found.applied_version == shares.number
    actors = AuditEntry.objects.filter(subject=f"trial:{trial.pk}", actor_name="op").order_by("id")
    assert [entry.action for entry in actors] == ["trial.cancel", "trial.resume", "trial.apply"]
    for name, row in (("trial", found), ("trialleg", found.legs.first())):
        assert row is not None
        assert client.get(reverse(f"admin:trials_{name}_change", args=[row.pk])).status_code == 200
        assert client.get(reverse(f"admin:trials_{name}_changelist")).status_code == 200
        assert client.get(reverse(f"admin:trials_{name}_delete", args=[row.pk])).status_code == 403


def test_the_command_begins_shows_and_ends_one(pair: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    account = Account.objects.get(pk=pair.account.pk)
    call_command("trial", "run", "--bots", "FIRST", "SECOND", "--hours", "1", "--account", str(account.pk))
    call_command("trial", "show")
    call_command("trial", "cancel")
    said = capsys.readouterr().out
    assert "on the account: running, 0 of 2 turns" in said
    with pytest.raises(CommandError, match="already"):
        call_command("trial", "cancel")
