"""Trials from the command line: each bot alone for some hours, then a table and a proposal."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from backtests.words import moment_of
from bots.selectors import AccountUnclear, only_account
from portfolio.services import UnableToAllocate
from trials import jobs, selectors, services
from trials.models import Trial
from trials.schemas import NO_PROMISE
from trials.spec import AccountTrial, SimulatedTrial, Spec, UnableToTry
from trials.telling import comparison_view, plan_view, trial_view

UNKNOWN = "-"
EXPECTED = (UnableToTry, UnableToAllocate, AccountUnclear, LookupError, ValueError, InvalidOperation)


class Command(BaseCommand):
    """Translate the command line into trials and what they found into text or JSON."""

    help = "Run each bot alone for some hours, compare them, and apply the shares that come of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the command line."""
        actions = parser.add_subparsers(dest="action", required=True)
        run = actions.add_parser("run", help="begin a trial on the account, or simulate one with --from and --to")
        run.add_argument("--bots", nargs="+", default=[], metavar="BOT", help="default: all bots of the account")
        run.add_argument("--hours", type=int, required=True, help="how long each turn lasts, in market time")
        run.add_argument("--rounds", type=int, default=1, help="how many turns each bot has on the account")
        run.add_argument("--budget", help="what each is sized by at most on the account; default: all there is")
        run.add_argument("--from", dest="begin", help="simulate from here, 2024-01-01 or 2024-01-01T12:00, UTC")
        run.add_argument("--to", dest="end")
        run.add_argument("--allocation", default="1000", help="what each bot of a simulation begins with")
        run.add_argument("--half-spread-bps", default="0.5")
        run.add_argument("--slippage-bps", default="0")
        run.add_argument("--data", default="", metavar="DIR", help="folder of Parquet candles; default: the database")
        run.add_argument("--queue", action="store_true", help="leave a simulation to the workers")
        run.add_argument("--account", type=int, help="id of the account; default: the one enabled account")
        for name, words in (("show", "how far a trial is"), ("compare", "the table and the proposal"), ("cancel", "end a trial")):
            self._about_one(actions.add_parser(name, help=words))
        resume = self._about_one(actions.add_parser("resume", help="go on with a trial that was cancelled or failed"))
        apply = self._about_one(actions.add_parser("apply", help="make the proposal the shares"))
        apply.add_argument("--preview", action="store_true", help="say what it would do, and do nothing")
        apply.add_argument("--despite-doubts", action="store_true", help="although the sample supports no choice")
        for action in (run, resume, *(actions.choices[name] for name in ("show", "compare", "cancel", "apply"))):
            action.add_argument("--json", action="store_true", help="print facts as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do what is asked; a person sees a message, never a traceback."""
        actions: dict[str, Callable[[dict[str, Any]], None]] = {
            "run": self._run,
            "show": lambda options: self._show(_asked_for(options), options),
            "compare": self._compare,
            "cancel": self._cancel,
            "resume": self._resume,
            "apply": self._apply,
        }
        try:
            actions[options["action"]](options)
        except EXPECTED as error:
            raise CommandError(str(error)) from error

    def _about_one(self, parser: Any) -> Any:
        parser.add_argument("trial_id", type=int, nargs="?", help="default: the newest")
        return parser

    def _run(self, options: dict[str, Any]) -> None:
        account_id = options["account"] or only_account()
        trial = services.request_trial(account_id=account_id, spec=_spec(options), by=None, now=timezone.now())
        if trial.kind == Trial.Kind.SIMULATION and not options["queue"]:
            self._work(trial)
            self._compare(options | {"trial_id": trial.pk})
            return
        self._show(trial, options)

    def _work(self, trial: Trial) -> None:
        told = time.monotonic()
        while jobs.run_turns(trial_id=trial.pk, clock=timezone.now):
            if time.monotonic() - told > 2:
                told = time.monotonic()
                self.stderr.write(_progress_line(trial_view(selectors.trial(trial.pk), now=timezone.now())))

    def _cancel(self, options: dict[str, Any]) -> None:
        trial = _asked_for(options)
        self._show(services.cancel_trial(trial_id=trial.pk, by=None, now=timezone.now()), options)

    def _resume(self, options: dict[str, Any]) -> None:
        trial = services.resume_trial(trial_id=_asked_for(options).pk, by=None, now=timezone.now())
        self._show(trial, options)

    def _apply(self, options: dict[str, Any]) -> None:
        trial = _asked_for(options)
        if options["preview"]:
            plan = services.preview_proposal(trial_id=trial.pk)
        else:
            asked: dict[str, Any] = {"by": None, "now": timezone.now(), "despite_doubts": options["despite_doubts"]}
            plan = services.apply_proposal(trial_id=trial.pk, **asked)
        view = plan_view(trial, plan)
        if options["json"]:
            self._say(view)
            return
        names = dict(trial.legs.values_list("book", "name"))
        for share in plan.shares:
            name = names.get(share.book_id, f"book {share.book_id}")
            self.stdout.write(f"{name}: {share.percent} %, {share.target:,.2f}; moves {share.moved:+,.2f}")
        self.stdout.write("Nothing was changed." if options["preview"] else f"These shares are version {plan.number}.")

    def _show(self, trial: Trial, options: dict[str, Any]) -> None:
        view = trial_view(selectors.trial(trial.pk), now=timezone.now())
        if options["json"]:
            self._say(view)
            return
        self.stdout.write(f"Trial {trial.pk}, {trial.get_kind_display().lower()}: {view['state']}, {_progress_line(view)}")
        self.stdout.write(f"  {', '.join(view['bots'])}: {view['hours']} h each, {view['rounds']} turns")
        for word in (view["error"], view["blocked_message"]):
            if word:
                self.stdout.write(f"  {word}")

    def _compare(self, options: dict[str, Any]) -> None:
        trial = _asked_for(options)
        if trial.state == Trial.State.FAILED and not trial.legs.filter(state="done").exists():
            raise UnableToTry("TRIAL_EMPTY", f"Trial {trial.pk} failed: {trial.error}")
        view = comparison_view(trial, selectors.compare(trial))
        if options["json"]:
            self._say(view)
            return
        self._show(trial, options)
        for row in view["items"]:
            self.stdout.write(_row_line(row))
        for doubt in view["doubts"]:
            self.stdout.write(f"{'Warning' if doubt['is_grave'] else 'Note'}: {doubt['message']}")
        verdict = "" if view["is_supported"] else "The sample supports no choice. "
        self.stdout.write(f"{verdict}{NO_PROMISE}")

    def _say(self, facts: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(facts, cls=DjangoJSONEncoder))


def _asked_for(options: dict[str, Any]) -> Trial:
    if options["trial_id"] is not None:
        return selectors.trial(options["trial_id"])
    newest = selectors.newest_trials(limit=1)
    if not newest:
        raise selectors.NoSuchTrial("There is no trial yet: trial run --hours 24")
    return selectors.trial(newest[0].pk)


def _spec(options: dict[str, Any]) -> Spec:
    bots = tuple(options["bots"])
    if options["begin"] is None and options["end"] is None:
        budget = None if options["budget"] is None else Decimal(options["budget"])
        return AccountTrial(bots=bots, hours=options["hours"], rounds=options["rounds"], budget=budget)
    if options["begin"] is None or options["end"] is None:
        raise ValueError("A simulated trial needs --from and --to.")
    return SimulatedTrial(
        bots=bots,
        hours=options["hours"],
        begin_at=moment_of(options["begin"]),
        end_at=moment_of(options["end"]),
        allocation=Decimal(options["allocation"]),
        half_spread=Decimal(options["half_spread_bps"]) / 10_000,
        slippage=Decimal(options["slippage_bps"]) / 10_000,
        folder=options["data"],
    )


def _progress_line(view: dict[str, Any]) -> str:
    line = f"{view['turns_done']} of {view['turns']} turns"
    if view["turns_per_second"]:
        line += f", {view['turns_per_second']:.3g} a second"
    if view["seconds_left"] is not None:
        line += f", {view['seconds_left']:.0f} s left"
    return line


def _row_line(row: dict[str, Any]) -> str:
    rate = f"{_percent(row['win_rate'])} [{_percent(row['win_rate_low'])}, {_percent(row['win_rate_high'])}]"
    ratio = UNKNOWN if row["sharpe"] is None else f"{row['sharpe']:.2f} [{row['sharpe_low']:.2f}, {row['sharpe_high']:.2f}]"
    figures = f"P&L {row['pnl']:+,.2f} ({_percent(row['total_return'])}), deepest {_percent(row['max_drawdown'])}, Sharpe {ratio}"
    wins = f"{row['trades']} trades, wins {rate}, break-even {_percent(row['break_even_win_rate'])}"
    return f"{row['bot']:<24} {row['percent']:>6} % (now {row['percent_now']})  {figures}; {wins}; {_in_r(row)}; {row['why']}"


def _in_r(row: dict[str, Any]) -> str:
    found, orders = row["in_r"] or {}, row["orders"] or {}
    mean, quality = found.get("r_expectancy"), found.get("sqn")
    told = UNKNOWN if mean is None else f"{mean:+.3f} R over {found['r_trades']} trades"
    system = UNKNOWN if quality is None else f"{quality:.2f}"
    return f"mean {told}, SQN {system}, orders filled {_percent(orders.get('by_count'))}"


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share * 100:.1f} %"
