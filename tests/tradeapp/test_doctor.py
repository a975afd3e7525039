"""Doctor says what is wrong and how to mend it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pytest_django import Settings

from bots.services import Wish, switch_mode
from portfolio.models import Account
from tests.bots.conftest import Desk, desk
from tests.plugins.own import write
from tradeapp import doctor
from tradeapp.doctor import Verdict
from tradeapp.up import instance_lock

__all__ = ["desk"]
PROJECT = Path(__file__).resolve().parent.parent.parent
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.django_db
def test_a_key_that_others_can_read_is_a_problem(settings: Settings, tmp_path: Path) -> None:
    settings.TRADEAPP_DATA_DIR = tmp_path
    settings.MASTER_KEY_FILE = tmp_path / "master.key"
    settings.MASTER_KEY_FILE.write_text("key")
    settings.MASTER_KEY_FILE.chmod(0o644)

    found = _find(doctor.examine(now=NOW), "master.key")

    assert found.verdict is Verdict.PROBLEM
    assert found.remedy == f"chmod 600 {settings.MASTER_KEY_FILE}"


@pytest.mark.django_db
@pytest.mark.fault("G02")
def test_a_setting_for_an_unknown_bot_is_a_problem(settings: Settings) -> None:
    settings.BOT_PERCENT = {"MEAN_REVERSOIN": "20"}

    found = _find(doctor.examine(now=NOW), "BOT_PERCENT_MEAN_REVERSOIN")

    assert found.verdict is Verdict.PROBLEM
    assert "no such bot" in found.says


def test_settings_of_who_trades_that_the_database_overrules_are_told(settings: Settings, desk: Desk) -> None:
    first, _ = desk.bot("FIRST"), desk.bot("SECOND", symbol="ETH/USDT")
    Account.objects.filter(pk=desk.account.pk).update(synced_through_at=desk.market_at)
    switch_mode(account_id=desk.account.pk, wish=Wish(mode="single", bot="SECOND", budget=Decimal(500)), by=None, now=NOW)
    settings.ENVIRON = settings.ENVIRON | {"BOT_ALLOCATION_MODE": "percentage"}
    settings.ACTIVE_BOT, settings.INITIAL_BUDGET = first.name, "750"

    findings = doctor.examine(now=NOW)

    says = {name: _find(findings, name).says for name in ("BOT_ALLOCATION_MODE", "ACTIVE_BOT", "INITIAL_BUDGET")}
    assert says == {
        "BOT_ALLOCATION_MODE": "says percentage, the database single",
        "ACTIVE_BOT": "says First, the database Second",
        "INITIAL_BUDGET": "says 750, the database 500",
    }
    settings.ACTIVE_BOT = "FISRT"
    assert _find(doctor.examine(now=NOW), "ACTIVE_BOT").verdict is Verdict.PROBLEM


@pytest.mark.django_db
def test_servers_and_tables_that_are_there_are_fine(settings: Settings) -> None:
    findings = doctor.examine(now=NOW)

    assert _find(findings, "redis").verdict is Verdict.FINE
    assert _find(findings, "tables").verdict is Verdict.FINE


def test_a_stopped_system_is_not_a_broken_one(tmp_path: Path) -> None:
    code, report = _run(tmp_path)

    verdicts = {finding["subject"]: finding["verdict"] for finding in report["findings"]}
    assert verdicts["up"] == verdicts["database"] == verdicts["redis"] == "notice"
    assert code == 0


@pytest.mark.django_db
def test_a_strategy_of_ones_own_that_cannot_be_run_is_a_problem(settings: Settings, tmp_path: Path) -> None:
    settings.STRATEGIES_DIR = tmp_path / "strategies"
    write(settings.STRATEGIES_DIR, "good")
    write(settings.STRATEGIES_DIR, "bad", head="import nothing_of_this_name\n")
    findings = doctor.examine(now=NOW)

    assert _find(findings, "strategy good").verdict is Verdict.FINE
    assert _find(findings, "strategy bad").says.startswith("bad.py:1: ModuleNotFoundError")
    assert _find(findings, "strategy bad").remedy == "Mend it, then: python manage.py strategies check bad"


@pytest.mark.django_db
def test_each_local_exchange_is_looked_at(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.TRADEAPP_DATA_DIR = tmp_path
    settings.VENUE_CONTROL_URL, settings.SECOND_VENUE_CONTROL_URL = "http://127.0.0.1:1", "http://127.0.0.1:2"
    with instance_lock.acquire(tmp_path):
        findings = doctor.examine(now=NOW)

    assert _find(findings, "local exchange").remedy == f"Look into {tmp_path / 'logs' / 'venue.log'}."
    assert _find(findings, "second exchange").verdict is Verdict.PROBLEM
    assert _find(findings, "second exchange").remedy == f"Look into {tmp_path / 'logs' / 'venue-2.log'}."


def test_a_database_of_ones_own_that_does_not_answer_is_a_problem(tmp_path: Path) -> None:
    code, report = _run(tmp_path, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")

    finding = next(found for found in report["findings"] if found["subject"] == "database")
    assert code == 1
    assert finding["verdict"] == "problem"
    assert "DATABASE_URL" in finding["remedy"]


def _run(data_dir: Path, **environ: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    clean = {
        name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}
    }
    answer = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json"],
        cwd=PROJECT,
        env=clean | {"TRADEAPP_DATA_DIR": str(data_dir)} | environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.stdout, answer.stderr
    return answer.returncode, json.loads(answer.stdout)


def _find(findings: list[doctor.Finding], subject: str) -> doctor.Finding:
    return next(finding for finding in findings if finding.subject == subject)
