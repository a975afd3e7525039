"""Say what is wrong with this installation, and how to mend it."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from bots import lineups
from bots.models import Bot
from bots.selectors import bots as bots_of
from portfolio.models import Allocation, Credential, Heartbeat
from portfolio.selectors import lists
from portfolio.selectors.modes import newest_version
from strategies import registry
from tradeapp import environment, live_gate
from tradeapp.up import instance_lock, plan, ports
from tradeapp.up.start import DEFAULT_PORT, FREE_BYTES_MIN
from tradeapp.up.trouble import UnableToStart

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
POSTGRES_OLDEST = 16
QUIET_SECONDS = 60


class Verdict(StrEnum):
    """How a check ended."""

    FINE = "fine"
    NOTICE = "notice"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what to do about it."""

    subject: str
    verdict: Verdict
    says: str
    remedy: str = ""


def examine(*, now: datetime) -> list[Finding]:
    """Look at everything; a later check is skipped only when what it needs is missing."""
    findings = [*_python(), *_data_directory(), *_secret_files(), *_supervisor(), *_redis(), *_browser(), *_own_strategies()]
    database = list(_database())
    findings += database
    if any(finding.subject == "tables" and finding.verdict is Verdict.FINE for finding in database):
        findings += [*_master_key(), *_heartbeats(now), *_bot_settings(), *_mode_settings(), *_live_gate(now)]
    return findings


def _python() -> Iterator[Finding]:
    yield Finding("python", Verdict.FINE, f"Python {sys.version.split()[0]}")
    wrong = []
    for line in (settings.BASE_DIR / "requirements" / "run.txt").read_text(encoding="utf-8").splitlines():
        name, _, version = line.partition("==")
        if version and ";" not in version and not line.startswith(" "):
            wanted = version.split()[0]
            if _installed(name) != wanted:
                wrong.append(f"{name} {_installed(name) or 'missing'} instead of {wanted}")
    if wrong:
        yield Finding("packages", Verdict.PROBLEM, "; ".join(wrong), "Run `make install`.")
    else:
        yield Finding("packages", Verdict.FINE, "all as pinned in requirements/run.txt")


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _data_directory() -> Iterator[Finding]:
    place: Path = settings.TRADEAPP_DATA_DIR
    if not place.is_dir():
        yield Finding("data directory", Verdict.PROBLEM, f"{place} does not exist", "`make run` makes it.")
        return
    if not os.access(place, os.W_OK) or place.stat().st_uid != os.getuid():
        remedy = "Run as the user who owns it, or set TRADEAPP_DATA_DIR."
        yield Finding("data directory", Verdict.PROBLEM, f"{place} belongs to user {place.stat().st_uid}", remedy)
    else:
        yield Finding("data directory", Verdict.FINE, str(place))
    free = shutil.disk_usage(place).free
    verdict = Verdict.FINE if free > FREE_BYTES_MIN else Verdict.PROBLEM
    yield Finding("free space", verdict, f"{free / 1e9:.1f} GB", "" if verdict is Verdict.FINE else "Free some space.")


def _secret_files() -> Iterator[Finding]:
    for path in (settings.TRADEAPP_DATA_DIR / "secret.key", settings.MASTER_KEY_FILE):
        if path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                yield Finding(path.name, Verdict.PROBLEM, f"others may read {path} ({mode:o})", f"chmod 600 {path}")
            else:
                yield Finding(path.name, Verdict.FINE, "readable by its owner only")


def _supervisor() -> Iterator[Finding]:
    holder = instance_lock.holder(settings.TRADEAPP_DATA_DIR)
    if holder is None:
        yield Finding("up", Verdict.NOTICE, "the system does not run", "Start it with `make run`.")
        yield _dashboard_port()
        return
    yield Finding("up", Verdict.FINE, f"runs as process {holder}")
    yield _local_exchange("local exchange", settings.VENUE_URL, settings.VENUE_CONTROL_URL, log="venue.log")
    if settings.SECOND_VENUE_CONTROL_URL:
        yield _local_exchange("second exchange", settings.SECOND_VENUE_URL, settings.SECOND_VENUE_CONTROL_URL, log="venue-2.log")


def _own_strategies() -> Iterator[Finding]:
    """Try each of the user's own strategies in its own process."""
    for name in registry.own_names():
        try:
            registry.consult(name)
        except ValueError as error:
            yield Finding(
                f"strategy {name}", Verdict.PROBLEM, str(error), f"Mend it, then: python manage.py strategies check {name}"
            )
        else:
            yield Finding(f"strategy {name}", Verdict.FINE, "can be run")


def _local_exchange(name: str, url: str, control_url: str, *, log: str) -> Finding:
    if plan.answers(f"{control_url}/control/clock")():
        return Finding(name, Verdict.FINE, url)
    remedy = f"Look into {settings.TRADEAPP_DATA_DIR / 'logs' / log}."
    return Finding(name, Verdict.PROBLEM, f"{control_url} does not answer", remedy)


def _dashboard_port() -> Finding:
    known = environment.remembered_addresses(settings.TRADEAPP_DATA_DIR).get("DASHBOARD_URL", "")
    port = urlsplit(known).port or DEFAULT_PORT
    try:
        ports.demand_free(host=ports.LOOPBACK, port=port, purpose="the dashboard", option="make run PORT=...")
    except UnableToStart as trouble:
        return Finding("dashboard port", Verdict.NOTICE, str(trouble), "For example: make run PORT=8010")
    return Finding("dashboard port", Verdict.FINE, f"{port} is free")


def _redis() -> Iterator[Finding]:
    try:
        redis.Redis.from_url(settings.REDIS_URL, socket_timeout=3).ping()
    except redis.RedisError as error:
        yield _away("redis", "REDIS_URL", str(error))
    else:
        yield Finding("redis", Verdict.FINE, "answers")


def _away(subject: str, setting: str, reason: str) -> Finding:
    """Tell a server that is stopped, as everything is, from one that should answer."""
    embedded = not settings.ENVIRON.get(setting)
    if embedded and instance_lock.holder(settings.TRADEAPP_DATA_DIR) is None:
        return Finding(subject, Verdict.NOTICE, "embedded; it runs while the system runs")
    remedy = f"Correct {setting}, or start that server." if not embedded else "Look into the logs of `up`."
    return Finding(subject, Verdict.PROBLEM, f"does not answer: {reason}", remedy)


def _database() -> Iterator[Finding]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('server_version_num')::int / 10000, current_setting('fsync')")
            version, fsync = cursor.fetchone() or (0, "")
        waiting = MigrationExecutor(connection).migration_plan(MigrationExecutor(connection).loader.graph.leaf_nodes())
    except DatabaseError as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        yield _away("database", "DATABASE_URL", reason)
        return
    if version < POSTGRES_OLDEST:
        yield Finding("database", Verdict.PROBLEM, f"PostgreSQL {version}", f"Use PostgreSQL {POSTGRES_OLDEST} or newer.")
    elif fsync != "on":
        yield Finding("database", Verdict.PROBLEM, "fsync is off: a power cut loses money", "Set fsync=on on the server.")
    else:
        yield Finding("database", Verdict.FINE, f"PostgreSQL {version}")
    if waiting:
        names = ", ".join(str(migration) for migration, _backwards in waiting[:5])
        yield Finding("tables", Verdict.PROBLEM, f"{len(waiting)} migrations wait: {names}", "`make run` applies them.")
    else:
        yield Finding("tables", Verdict.FINE, "all migrations are applied")


def _master_key() -> Iterator[Finding]:
    if not settings.MASTER_KEY_FILE.exists() and Credential.objects.exists():
        remedy = "Restore it from your backup, or name it with TRADEAPP_MASTER_KEY_FILE: without it no sealed key opens."
        yield Finding("master key", Verdict.PROBLEM, f"{settings.MASTER_KEY_FILE} is missing", remedy)


def _heartbeats(now: datetime) -> Iterator[Finding]:
    if instance_lock.holder(settings.TRADEAPP_DATA_DIR) is None:
        return
    quiet = Heartbeat.objects.filter(beat_at__lt=now - timedelta(seconds=QUIET_SECONDS)).order_by("process")
    for heartbeat in quiet:
        remedy = f"Look into the logs in {settings.TRADEAPP_DATA_DIR / 'logs'}."
        yield Finding(heartbeat.process, Verdict.NOTICE, f"quiet since {heartbeat.beat_at:%Y-%m-%d %H:%M:%S} UTC", remedy)


def _live_gate(now: datetime) -> Iterator[Finding]:
    """Say what live trading waits for: a notice while nobody wants to trade live, a problem when somebody does."""
    is_wanted = settings.TRADING_MODE == "live"
    for standing in live_gate.standings(now=now):
        verdict = Verdict.PROBLEM if is_wanted else Verdict.NOTICE
        says = f"{standing.title}: {standing.trouble}" if standing.trouble else standing.title
        remedy = "Live trading does not start before this is mended; see docs/security.md." if standing.trouble else ""
        yield Finding(f"live {standing.item}", Verdict.FINE if standing.is_satisfied else verdict, says, remedy)


def _bot_settings() -> Iterator[Finding]:
    """Report what the environment says about bots where the database, which is the truth, says otherwise."""
    for key, wanted in sorted(settings.BOT_PERCENT.items()):
        name = f"BOT_PERCENT_{key}"
        bot = Bot.objects.filter(key=key).order_by("-pk").first()
        if bot is None:
            known = ", ".join(Bot.objects.order_by("key").values_list("key", flat=True).distinct()) or "none yet"
            yield Finding(name, Verdict.PROBLEM, "there is no such bot", f"Use one of: {known}.")
            continue
        allocation = Allocation.objects.filter(book=bot.book_id).order_by("-effective_at", "-pk").first()
        stored = allocation.percent if allocation else Decimal(0)
        yield from _difference(name, wanted, stored)


def _mode_settings() -> Iterator[Finding]:
    """Report what the environment says about who trades where the database says otherwise."""
    account = lists.shown_account()
    if account is None:
        return
    version = newest_version(account.pk)
    is_single = version is not None and version.mode == account.allocation_mode == "single"
    if "BOT_ALLOCATION_MODE" in settings.ENVIRON and account.allocation_mode != settings.BOT_ALLOCATION_MODE:
        yield _overruled("BOT_ALLOCATION_MODE", settings.BOT_ALLOCATION_MODE, account.allocation_mode)
    if settings.ACTIVE_BOT:
        bots = list(bots_of(account.pk))
        try:
            wanted = lineups.find(settings.ACTIVE_BOT, bots, lineups.aliases_of(lineups.load()))
        except lineups.UnknownBot as error:
            yield Finding("ACTIVE_BOT", Verdict.PROBLEM, str(error), "Name one of the bots, or remove the setting.")
            return
        if is_single and version is not None and version.book_id != wanted.book_id:
            yield _overruled(
                "ACTIVE_BOT", wanted.name, next((bot.name for bot in bots if bot.book_id == version.book_id), "nobody")
            )
    if settings.INITIAL_BUDGET and is_single and version is not None:
        stored = Decimal(0) if version.budget is None else version.budget
        yield from _difference("INITIAL_BUDGET", settings.INITIAL_BUDGET, stored)


def _overruled(name: str, wanted: str, stored: str) -> Finding:
    remedy = "The database is the truth after the first start: change it on the dashboard, or remove the setting."
    return Finding(name, Verdict.NOTICE, f"says {wanted}, the database {stored}", remedy)


def _difference(name: str, wanted: str, stored: Decimal) -> Iterator[Finding]:
    try:
        differs = Decimal(wanted) != stored
    except InvalidOperation:
        yield Finding(name, Verdict.PROBLEM, f"{wanted} is not a number", "Write a number, or remove the setting.")
        return
    if differs:
        yield _overruled(name, wanted, f"{stored.normalize():f}")


def _browser() -> Iterator[Finding]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found:
        yield Finding("browser for tests", Verdict.FINE, found)
    else:
        yield Finding("browser for tests", Verdict.NOTICE, "no Chromium", "sudo apt-get install chromium")


def as_text(findings: list[Finding], *, style: Callable[[Finding, str], str]) -> str:
    """Return a report for people."""
    lines = []
    for finding in findings:
        lines.append(style(finding, f"{finding.verdict.value:<8} {finding.subject}: {finding.says}"))
        if finding.remedy:
            lines.append(f"         {finding.remedy}")
    return "\n".join(lines)


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """Return a report for programs."""
    return {
        "healthy": is_healthy(findings),
        "findings": [
            {"subject": found.subject, "verdict": found.verdict.value, "says": found.says, "remedy": found.remedy}
            for found in findings
        ],
    }


def is_healthy(findings: list[Finding]) -> bool:
    """Tell whether nothing needs mending."""
    return all(finding.verdict is not Verdict.PROBLEM for finding in findings)
