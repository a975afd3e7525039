"""Who can reach this installation, what its logs tell, and what live trading waits for."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from exchange import redaction, secrets
from tests.faults.security import SECURITY
from tradeapp import doctor, exposure, live_gate, logs, places, second_factor, totp
from tradeapp.doctor import Verdict
from tradeapp.up import addresses, plan, ports
from tradeapp.up.trouble import UnableToStart

STRONG = {
    "TRADEAPP_TLS_CERTIFICATE": "/etc/tls/chain.pem",
    "TRADEAPP_TLS_KEY": "/etc/tls/key.pem",
    "ALLOWED_HOSTS": "bots.example.org",
    "SECRET_KEY": "kzcW5zTf0s1Uq8GkR3mYv7HnJx2LbP4dQw6EaSiOu9BtCyXgMhNj",
}


@pytest.mark.fault("S10", "G03")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, None),
        ({"TRADEAPP_TLS_CERTIFICATE": "", "TRADEAPP_TLS_KEY": ""}, "TLS_MISSING"),
        ({"TRADEAPP_TLS_CERTIFICATE": "", "TRADEAPP_TLS_KEY": "", "TRADEAPP_TRUSTED_PROXY": "10.0.0.1"}, None),
        ({"TRADEAPP_TLS_KEY": ""}, "TLS_HALF"),
        ({"TRADEAPP_TRUSTED_PROXY": "*"}, "PROXY_ANY"),
        ({"SECRET_KEY": "secret"}, "SECRET_KEY_WEAK"),
        ({"SECRET_KEY": "a" * 60}, "SECRET_KEY_WEAK"),
        ({"SECRET_KEY": "django-insecure-" + STRONG["SECRET_KEY"]}, "SECRET_KEY_WEAK"),
        ({"SECRET_KEY": ""}, None),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS_OPEN"),
        ({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS_OPEN"),
        ({"DEBUG": "True"}, "DEBUG_ON"),
        ({"DATABASE_URL": "postgresql://trader@db.example.org/tradeapp"}, "DATABASE_URL_OPEN"),
        ({"REDIS_URL": "redis://cache.example.org:6379/0"}, "REDIS_URL_OPEN"),
        ({"REDIS_URL": "http://cache.example.org"}, "REDIS_URL_UNREADABLE"),
        ({"DATABASE_URL": "postgresql://me:wo/rd@db.example.org/tradeapp"}, "DATABASE_URL_UNREADABLE"),
    ],
)
def test_other_machines_are_let_in_only_through_tls_and_strong_settings(change: dict[str, str], code: str | None) -> None:
    environ = STRONG | change
    found = exposure.troubles(host="0.0.0.0", environ=environ)

    assert [trouble.code for trouble in found] == ([] if code is None else [code])
    if code is None:
        assert ports.check_host("0.0.0.0", environ) == "0.0.0.0"
        return
    with pytest.raises(UnableToStart, match=code) as refused:
        ports.check_host("0.0.0.0", environ)
    assert found[0].remedy in str(refused.value)


@pytest.mark.fault("S12")
@pytest.mark.parametrize(
    ("url", "is_closed"),
    [
        ("redis://127.0.0.1:6379/0", True),
        ("unix:///run/valkey.sock", True),
        ("redis://:word@cache.example.org/0", True),
        ("redis://cache.example.org/0", False),
        ("postgresql://me@/tradeapp?host=/run/postgresql", True),
        ("postgresql://me@db.example.org/tradeapp", False),
        ("postgresql://me:word@db.example.org/tradeapp", True),
        ("postgresql://me@/tradeapp?host=db.example.org", False),
        ("", True),
    ],
)
def test_a_server_on_another_machine_asks_for_a_password(url: str, is_closed: bool) -> None:
    name = "REDIS_URL" if url.startswith(("redis", "unix")) else "DATABASE_URL"

    assert (exposure.server_troubles({name: url}) == []) is is_closed


@pytest.mark.fault("S10")
def test_loopback_is_the_default_and_trusts_no_forwarded_address() -> None:
    found = addresses.Addresses("127.0.0.1", 8000, 1, 2, "", "", "")
    words = plan.Plan(Path(), Path(), found, {}).web().command

    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert {"--no-proxy-headers", "--no-access-log"} <= set(words)
    behind = plan.Plan(Path(), Path(), found, {"TRADEAPP_TRUSTED_PROXY": "10.0.0.1"}).web().command
    assert behind[behind.index("--forwarded-allow-ips") + 1] == "10.0.0.1"
    own = plan.Plan(Path(), Path(), found, STRONG).web().command
    assert own[own.index("--ssl-keyfile") + 1] == STRONG["TRADEAPP_TLS_KEY"]


@pytest.mark.fault("S10", "S14")
def test_an_exposed_dashboard_waits_for_second_factors(db: None, tmp_path: Path, settings: Any) -> None:
    settings.MASTER_KEY_FILE = tmp_path / "master.key"
    settings.MASTER_KEY_FILE.write_text(Fernet.generate_key().decode())
    with pytest.raises(ImproperlyConfigured, match="Nobody has no second factor"):
        live_gate.demand_second_factors()
    admin = User.objects.create_superuser("ada")
    with pytest.raises(ImproperlyConfigured, match="ada has no second factor"):
        live_gate.demand_second_factors()
    now = timezone.now()
    secret, _ = second_factor.begin(admin, now=now)
    second_factor.finish(admin, totp.code_at(secret, totp.step_of(now.timestamp())), now=now)
    live_gate.demand_second_factors()


@pytest.mark.fault("S11")
def test_a_fresh_installation_has_nobody_in_it(db: None) -> None:
    assert not User.objects.exists()


@pytest.mark.fault("S05")
@pytest.mark.parametrize(
    "said",
    [
        "canary-secret-of-the-exchange",
        "GET /api/v3/order?symbol=BTCUSDT&signature=0f1e2d3c4b5a",
        "https://venue/api?listenKey=abcdef123456&x=1",
        "Cookie: sessionid=abcdef123456; csrftoken=fedcba654321",
        "{'X-MBX-APIKEY': 'abcdef123456'}",
        "Authorization: Bearer tra_abcdefabcdefabcdefabcdef",
        "token tra_abcdefabcdefabcdefabcdef",
        "Gone: /sign-in/abcdef123456/",
        "redis://:abcdef123456@cache.example.org/0",
    ],
)
def test_no_secret_reaches_a_log(said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").write_text(Fernet.generate_key().decode())
    sealed = secrets.seal("canary-secret-of-the-exchange", context="x", key_file=tmp_path / "key")
    assert secrets.unseal(sealed, context="x", key_file=tmp_path / "key") == "canary-secret-of-the-exchange"
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=logs.logging_settings("INFO")["formatters"]["event"]["processors"], foreign_pre_chain=[]
    )
    try:
        raise ValueError(said)
    except ValueError as error:
        record = logging.LogRecord("ccxt", logging.ERROR, __file__, 1, said, (), (ValueError, error, error.__traceback__))
    line = formatter.format(record)

    assert redaction.MASK in line
    assert not re.search(r"abcdef|canary|0f1e2d|fedcba", line)


def test_an_ordinary_line_is_left_alone() -> None:
    line = "event=order.submitted account=1 lots=300 price=50000.00 url=http://127.0.0.1:8020/api/v3/order"
    assert redaction.redact(line) == line


@pytest.mark.fault("S01", "S02", "S03", "S04", "S05", "S10", "S11", "S12", "S13")
def test_live_trading_waits_for_every_item_and_paper_for_none(db: None, tmp_path: Path, settings: Any) -> None:
    settings.MASTER_KEY_FILE = tmp_path / "master.key"
    User.objects.create_superuser("admin", password="changeme")
    settings.ENVIRON = {"BINANCE_API_KEY": "x", "REDIS_URL": "redis://cache.example.org/0"}
    settings.AXES_LOCKOUT_PARAMETERS = ["ip_address"]

    waiting = {standing.item for standing in live_gate.standings(now=timezone.now()) if not standing.is_satisfied}
    assert waiting == {"S03", "S04", "S10", "S11", "S12", "S13", "S14"}
    with pytest.raises(ImproperlyConfigured, match="S11 nobody has a password that everybody tries"):
        live_gate.demand(now=timezone.now())
    settings.TRADING_MODE = "paper"
    assert all(finding.verdict is not Verdict.PROBLEM for finding in doctor._live_gate(timezone.now()))
    settings.TRADING_MODE = "live"
    assert any(finding.verdict is Verdict.PROBLEM for finding in doctor._live_gate(timezone.now()))


def test_every_item_of_the_gate_has_tests_that_are_named_after_it(db: None) -> None:
    assert {standing.item for standing in live_gate.standings(now=timezone.now())} == set(SECURITY)
    sources = [path.read_text() for path in (places.PROJECT_DIR / "tests").rglob("test_*.py")]
    marks = {
        item for text in sources for line in re.findall(r"mark\.fault\(([^)]*)\)", text) for item in re.findall(r"S\d\d", line)
    }
    assert set(SECURITY) <= marks
