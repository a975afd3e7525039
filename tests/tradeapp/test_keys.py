"""Exchange keys: sealed for one place, refused if they may take money out, and nowhere to be read again."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from exchange import secrets
from exchange.binance import answers
from exchange.errors import ExchangeTrouble, KeyRefused, Outcome
from exchange.ports import KeyPermissions
from exchange.rights import demand_rights
from marketdata.models import Market
from portfolio.models import Account, AuditEntry, Credential, Lease
from portfolio.services.credentials import UnableToStore, store_credential
from portfolio.trader import keys, rights
from tests.portfolio.world import World, build
from tradeapp import master_key, second_factor

KEY, SECRET = "canary-key-0123456789-wxyz", "canary-secret-0123456789-never-seen"
TRADES = KeyPermissions(can_read=True, can_trade=True, can_withdraw=False, can_transfer=False, is_ip_restricted=True)
READS = KeyPermissions(can_read=True, can_trade=False, can_withdraw=False, can_transfer=False, is_ip_restricted=True)
MOVES = KeyPermissions(can_read=True, can_trade=False, can_withdraw=False, can_transfer=True, is_ip_restricted=True)
# What the exchange says of a good trade key.
GOOD = {"enableReading": True, "enableSpotAndMarginTrading": True, "enableWithdrawals": False, "enableInternalTransfer": False}
GOOD |= {"permitsUniversalTransfer": False, "ipRestrict": True}


@pytest.fixture(autouse=True)
def master_key_file(tmp_path: Path, settings: Any) -> Path:
    settings.MASTER_KEY_FILE = tmp_path / "master.key"
    settings.MASTER_KEY_FILE.write_text(Fernet.generate_key().decode())
    return Path(settings.MASTER_KEY_FILE)


@pytest.fixture
def account(db: None) -> Account:
    world: World = build()
    return Account.objects.get(id=world.account_id)


def store(account: Account, **facts: Any) -> Credential:
    return store_credential(
        **{"account": account, "key": KEY, "secret": SECRET, "now": timezone.now(), "rights": TRADES, **facts}
    )


@pytest.mark.fault("S01")
@pytest.mark.parametrize("flag", ["enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer"])
@pytest.mark.parametrize("said", [True, None])
def test_a_key_that_may_take_money_out_is_refused_also_when_the_exchange_is_silent(flag: str, said: bool | None) -> None:
    raw = {name: value for name, value in GOOD.items() if name != flag} | ({} if said is None else {flag: said})

    demand_rights(answers.key_permissions(GOOD), role="trade")
    with pytest.raises(KeyRefused, match=r"may withdraw|may transfer"):
        demand_rights(answers.key_permissions(raw), role="trade")


@pytest.mark.fault("S01", "S02")
@pytest.mark.parametrize(
    ("role", "said", "fits"),
    [
        ("trade", TRADES, True),
        ("read", READS, True),
        ("transfer", MOVES, True),
        ("read", TRADES, False),
        ("trade", READS, False),
        ("transfer", READS, False),
        ("trade", MOVES, False),
        ("read", MOVES, False),
    ],
)
def test_every_role_has_a_key_that_may_do_just_that(account: Account, role: str, said: KeyPermissions, fits: bool) -> None:
    if fits:
        assert store(account, role=role, rights=said).rights["can_withdraw"] is False
        return
    with pytest.raises(UnableToStore) as refusal:
        store(account, role=role, rights=said)
    assert refusal.value.code == "KEY_REFUSED"
    assert not Credential.objects.filter(account=account, role=role, fingerprint=secrets.fingerprint(KEY)).exists()


@pytest.mark.fault("S01")
def test_a_live_account_takes_no_key_that_nobody_asked_about(account: Account) -> None:
    account.mode = Account.Mode.LIVE
    with pytest.raises(UnableToStore) as refusal:
        store(account, rights=None)
    assert refusal.value.code == "KEY_UNCHECKED"


@pytest.mark.fault("S02")
@pytest.mark.parametrize("process", ["web", "worker trading", "beat", "feed 1", "trader 999999", "trader", "trader standby"])
def test_no_process_but_the_accounts_own_trader_opens_its_keys(account: Account, settings: Any, process: str) -> None:
    store(account)
    for trader in (f"trader {account.pk}", f"trader {account.pk} standby"):
        settings.TRADEAPP_PROCESS = trader
        assert keys.account_and_key(account.pk)[1:] == (KEY, SECRET)
    settings.TRADEAPP_PROCESS = process
    with pytest.raises(keys.UnableToTrade, match="opens no keys"):
        keys.account_and_key(account.pk)


@pytest.mark.fault("S03")
def test_a_sealed_key_opens_in_its_own_place_only(account: Account) -> None:
    store(account)
    reading = store(account, key="another-key-1234", role="read", rights=READS)
    Credential.objects.filter(pk=reading.pk).update(sealed=Credential.objects.get(role="trade", account=account).sealed)

    with pytest.raises(keys.UnableToTrade, match="was sealed for"):
        keys.account_and_key(account.pk, roles=("read",))


@pytest.mark.fault("S03")
def test_the_master_key_changes_while_keys_are_read_and_the_old_one_opens_nothing(
    account: Account, master_key_file: Path
) -> None:
    store(account)
    person = User.objects.create_superuser("ada")
    second_factor.begin(person, now=timezone.now())
    old = master_key_file.read_text().strip()

    assert master_key.rotate(by=person, now=timezone.now()) == 2
    assert keys.account_and_key(account.pk)[1:] == (KEY, SECRET)
    assert old not in master_key_file.read_text()
    assert stat.S_IMODE(master_key_file.stat().st_mode) == 0o600
    master_key_file.write_text(old)
    with pytest.raises(keys.UnableToTrade, match="another master key"):
        keys.account_and_key(account.pk)
    assert AuditEntry.objects.filter(action="master_key.rotate", actor=person).count() == 1


@pytest.mark.fault("S03")
@pytest.mark.parametrize("dies_after", [0, 1])
def test_a_rotation_that_died_is_repeated(
    account: Account, master_key_file: Path, monkeypatch: pytest.MonkeyPatch, dies_after: int
) -> None:
    store(account)
    store(account, key="another-key-1234", role="read", rights=READS)
    calls = iter(range(10))

    def dying(*arguments: Any, **facts: Any) -> str:
        if next(calls) == dies_after:
            raise OSError("power cut")
        return secrets.reseal(*arguments, **facts)

    with monkeypatch.context() as patched:
        patched.setattr("portfolio.services.credentials.reseal", dying)
        with pytest.raises(OSError, match="power cut"):
            master_key.rotate(by=None, now=timezone.now())
    assert keys.account_and_key(account.pk)[1:] == (KEY, SECRET)

    master_key.rotate(by=None, now=timezone.now())
    assert keys.account_and_key(account.pk)[1:] == (KEY, SECRET)
    assert len(master_key_file.read_text().split()) == 1


@pytest.mark.fault("S04", "S05")
def test_a_stored_key_is_seen_on_no_page_in_no_answer_no_row_and_no_log(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rights, "ask", lambda *_a, **_k: TRADES)
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("admin"))
    path = f"/api/v1/accounts/{account.pk}/keys"
    body = json.dumps({"key": KEY, "secret": SECRET})
    seen = [client.put(f"{path}/trade", body, content_type="application/json")]
    seen.append(client.put(f"{path}/trade", body[:-1], content_type="application/json"))
    seen.append(client.put(f"{path}/nonsense", body, content_type="application/json"))
    seen += [client.get(place) for place in (path, "/api/v1/audit", "/api/v1/events", "/api/v1/accounts", "/security/")]
    seen += [client.get(place) for place in ("/parts/exchange_keys/", "/admin/portfolio/auditentry/", "/api/v1/openapi.json")]

    assert [answer.status_code for answer in seen] == [200, 400, 422, *[200] * 8]
    everything = "".join(answer.content.decode() for answer in seen) + caplog.text + "".join(capsys.readouterr())
    for table in (Credential, AuditEntry):
        everything += str(list(table.objects.values()))
    assert KEY not in everything
    assert SECRET not in everything
    assert seen[0].json()["key_last4"] == "wxyz"


@pytest.mark.fault("S04")
def test_a_removed_key_is_gone_and_the_trader_begins_anew(account: Account) -> None:
    store(account)
    lease = Lease.objects.get(name=f"trader:{account.pk}")
    epoch = lease.epoch
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))

    assert client.delete(f"/api/v1/accounts/{account.pk}/keys/trade").status_code == 204
    assert client.delete(f"/api/v1/accounts/{account.pk}/keys/trade").status_code == 404
    lease.refresh_from_db()
    assert lease.epoch == epoch + 1
    assert AuditEntry.objects.filter(action="credential.remove").count() == 1


def test_one_key_has_one_place(account: Account) -> None:
    store(account)
    with pytest.raises(UnableToStore) as refusal:
        store(account, role="read", rights=READS)
    assert refusal.value.code == "KEY_IN_USE"


def test_paper_testnet_and_live_share_neither_market_nor_mode(account: Account) -> None:
    facts = {"name": "live", "market": account.market, "deploy": "x1", "created_at": timezone.now()}
    with pytest.raises(IntegrityError, match="another mode"), transaction.atomic():
        Account.objects.create(mode="live", **facts)
    with pytest.raises(IntegrityError, match="stays paper"), transaction.atomic():
        Account.objects.filter(pk=account.pk).update(mode="live")
    with pytest.raises(IntegrityError, match="account_deploy_unique"), transaction.atomic():
        Account.objects.create(mode="paper", **facts | {"deploy": account.deploy})


@pytest.mark.fault("G04")
@pytest.mark.parametrize(
    ("mode", "address", "said"),
    [("live", "https://testnet.binance.vision", "not binance's own address"), ("testnet", "", "has no real money")],
)
def test_a_key_opens_no_port_at_an_address_of_the_other_world(account: Account, mode: str, address: str, said: str) -> None:
    """I-49: neither the trader nor the question what a key may do leaves this machine."""
    market = Market.objects.create(exchange="binance", epoch=mode, label=mode, rest_url=address, created_at=timezone.now())
    row = Account.objects.create(name=mode, mode=mode, market=market, deploy="x2", created_at=timezone.now())
    for open_port in (keys.open_port, keys.open_transfer_port):
        with pytest.raises(keys.UnableToTrade, match=said):
            open_port(row, KEY, SECRET)
    told = json.loads(rights.answer(json.dumps({"account": row.pk, "key": KEY, "secret": SECRET})))
    assert said in told["trouble"]


@pytest.mark.fault("S02")
def test_a_question_about_a_key_leaves_no_trace_in_arguments_or_environment(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    real: Callable[..., Any] = subprocess.run

    def watched(command: list[str], **facts: Any) -> Any:
        seen.update(command=command, environment=facts.get("env") or dict(os.environ), question=facts["input"])
        return real([sys.executable, "-c", f"print({json.dumps(json.dumps(vars_of(TRADES)))})"], **facts)

    monkeypatch.setattr(subprocess, "run", watched)
    assert rights.ask(account, key=KEY, secret=SECRET) == TRADES
    assert SECRET not in str(seen["command"]) + str(seen["environment"])
    assert SECRET in seen["question"]


@pytest.mark.fault("S05")
@pytest.mark.parametrize(
    ("outcome", "told"),
    [(Outcome.KEY_INVALID, "does not accept this key"), (Outcome.UNAVAILABLE, "did not say what this key may do")],
)
def test_what_the_exchange_said_of_a_key_is_told_without_the_key(
    account: Account, outcome: Outcome, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Port:
        async def key_permissions(self) -> KeyPermissions:
            raise ExchangeTrouble(outcome, f"Invalid API-key {KEY} of {SECRET}", code=-2015)

        async def close(self) -> None: ...

    monkeypatch.setattr(keys, "open_port", lambda *_facts: Port())
    said = json.loads(rights.answer(json.dumps({"account": account.pk, "key": KEY, "secret": SECRET})))["trouble"]
    assert told in said
    assert "Invalid API-key" in said
    assert "-2015" in said
    assert KEY not in said
    assert SECRET not in said


def vars_of(permissions: KeyPermissions) -> dict[str, bool]:
    return {name: getattr(permissions, name) for name in permissions.__dataclass_fields__}
