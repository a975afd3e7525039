"""Thousands of requests drawn from the description of the API: none is a fault, every answer is described."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bots.lineups import SHIPPED, content_of, load
from bots.models import Bot
from marketdata.services import request_verify
from portfolio.models import AuditEntry, Order
from portfolio.trader import rights
from tests.api.conftest import Api, line_up, token_for
from tests.api.drawing import Drawer, Drawn, requests
from tests.api.json_schema import faults
from tests.api.watching import writes
from tests.portfolio.world import D, World
from tests.tradeapp.test_keys import TRADES
from tradeapp import access, roles, tokens
from tradeapp.access import Role
from tradeapp.api import api as described
from tradeapp.problems import CONTENT_TYPE, PREFIX
from trials.services import cancel_trial, request_trial
from trials.spec import SimulatedTrial

PASSWORD = "a long enough password"
CASES_AT_NIGHT = 20_000
# What changes who is signed in is asked, but does not come before anything else.
OWN_DOOR = ("sessions", "password", "second-factor", "users", "confirmation")
_numbers = itertools.count(1)


@dataclass(slots=True)
class Ground:
    """An installation in use, and everybody who asks it."""

    description: dict[str, Any]
    pools: dict[str, list[Any]]
    callers: list[Callable[[], Api]]
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """Count the requests that were granted."""
        return sum(times for (_, status), times in self.answers.items() if status < 300)

    @property
    def parts(self) -> dict[str, Any]:
        """Return the named schemas."""
        found: dict[str, Any] = self.description["components"]["schemas"]
        return found

    @property
    def operations(self) -> dict[str, dict[str, Any]]:
        """Return what the description knows, as `POST bots/{bot_id}/start`."""
        return {
            f"{method.upper()} {template.removeprefix(PREFIX)}": operation
            for template, methods in self.description["paths"].items()
            for method, operation in methods.items()
        }


@pytest.fixture
def ground(world: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """Return two accounts, one with books that traded and one with bots, as somebody of a role asks them."""
    monkeypatch.setattr(rights, "ask", lambda *_a, **_k: TRADES)
    bots = line_up()
    world.decide(world.propose("enter", 2, lots=300, limit_price=D("40000")))
    world.send(world.order(kind="enter", book=2))
    person = User.objects.create(username="person", password=make_password(PASSWORD), **roles.flags_of(Role(request.param)))
    description = json.loads(json.dumps(described.get_openapi_schema()))
    return Ground(description, _pools(world, bots, person), _callers(person))


def _callers(person: User) -> list[Callable[[], Api]]:
    """Return a browser, a script, and two that nobody knows."""
    script = token_for(person, *access.ROLE_SCOPES[roles.stored_role(person)], tokens.UNATTENDED)

    def browser() -> Api:
        client = Client(raise_request_exception=False)
        client.force_login(person)
        return Api(client)

    strangers = [Api(Client(raise_request_exception=False), **headers) for headers in ({}, {"Authorization": "Bearer tra_no"})]
    return [browser, browser, lambda: script, lambda: script, lambda: strangers[0], lambda: strangers[1]]


def _pools(world: World, bots: list[Bot], person: User) -> dict[str, list[Any]]:
    books = [*(book.pk for book in world.books), *(bot.book_id for bot in bots)]
    job = request_verify(by=person, now=timezone.now())
    token, _ = tokens.create_token(name="x", scopes=["read"], by=person, now=timezone.now())
    somebody = User.objects.create_superuser("somebody", password=PASSWORD)
    accounts = [world.account_id, bots[0].book.account_id]
    amounts = ["0", "0.00000001", "1", "5", "20", "33.333", "100", "100.01", "-1"]
    return {
        "account": accounts,
        "account_id": accounts,
        "amount": amounts,
        "asset": ["USDT", "BTC", "ETH", "XYZ"],
        "base_url": ["", "http://127.0.0.1:1/"],
        "begin": ["2024-01", "2024-03-05", "-x", "--force"],
        "book": books,
        "begin_at": ["2024-01-01T00:00:00Z"],
        "bot": [*(bot.name for bot in bots), bots[0].key, "Nobody"],
        "bot_id": [bot.pk for bot in bots],
        "budget": amounts,
        "code": ["", "CAPITAL_INSUFFICIENT"],
        "end_at": ["2024-01-03T00:00:00Z"],
        "email": ["ada@example.org", "person", "a@b"],
        "end": ["", "2024-03", "2023-01", "--root"],
        "exchange": ["binance"],
        "figure": ["sharpe", "calmar", "nothing"],
        "folder": ["", "/nonexistent"],
        "fixed": ["trend=1", "fast=7", "x"],
        "grid": ["fast=5:50:5", "slow=20:60:20", "fast=1:1e9:1e-9", "fast=5,6", "nothing=1"],
        "hours": [1, 24],
        "interval": ["5m", "1h", "1d", "7m", "-1"],
        "intervals": ["5m", "1h", "-h"],
        "job_id": [job.pk],
        "order_id": list(Order.objects.values_list("id", flat=True)),
        "percent": amounts,
        "plan": [*(content_of(load(path)) for path in SHIPPED.values()), {"bots": [{}]}, {"schema": 1, "bots": [1]}],
        "proof": [PASSWORD, "123456"],
        "rotation": [
            "mon-sun 00:00-12:00 TripleEMA\nmon-sun 12:00-24:00 GridTrading",
            "mon-fri 08:00-14:00 GridTrading wait 30m",
            "sun 23:00-01:00 nobody\nzone Europe/Berlin",
            "mon 25:00-26:00 X",
            "",
        ],
        "scopes": [*tokens.SCOPES, "everything"],
        "strategy": ["sma_cross", "triple_ema", "nothing"],
        "symbol": ["BTC/USDT", "ETH/USDT", "BTCUSDT", "XYZ/USDT"],
        "symbols": ["BTC/USDT", "--help", "XYZ"],
        "to": [0, 1, 2, 3],
        "token_id": [token.pk],
        "trial_id": _trials(accounts[1], person),
        "user_id": [person.pk, somebody.pk],
        "version": [0, 1, 2],
        "without": [bot.key for bot in bots],
        "x": ["", "fast"],
        "y": ["", "slow"],
    }


def _trials(account_id: int, person: User) -> list[int]:
    """Return a simulated trial that waits and one that was cancelled."""
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    spec = SimulatedTrial(bots=(), hours=24, begin_at=begin, end_at=begin + timedelta(days=2))
    made = [request_trial(account_id=account_id, spec=spec, by=person, now=timezone.now()).pk for _ in range(2)]
    cancel_trial(trial_id=made[1], by=person, now=timezone.now())
    return made


@pytest.mark.slow
@pytest.mark.parametrize("ground", list(Role), indirect=True)
def test_no_request_is_a_fault_and_every_answer_is_described(ground: Ground) -> None:
    """Always the same cases, so that what was green stays green; new ones are looked for at night."""
    walk(ground, settings(max_examples=5, derandomize=True))

    # Requests that mean nothing prove nothing.
    assert ground.done > ground.answers.total() / 10, ground.answers


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("ground", list(Role), indirect=True)
def test_twenty_thousand_requests_are_no_fault_and_described(ground: Ground) -> None:
    each = math.ceil(CASES_AT_NIGHT / len(Role) / len(ground.operations))
    walk(ground, settings(max_examples=each))

    print(f"{ground.answers.total()} requests, {ground.done} of them granted")
    assert ground.answers.total() >= CASES_AT_NIGHT / len(Role)


def walk(ground: Ground, how_long: settings) -> None:
    """Ask every operation, each case on the same ground, after up to two changes that others made."""
    drawer = Drawer(ground.parts, ground.pools)
    before = st.one_of(
        [
            requests(name, operation, drawer, only_valid=True)
            for name, operation in ground.operations.items()
            if not name.startswith("GET ") and name.split()[1].partition("/")[0] not in OWN_DOOR
        ]
    )
    found = []
    for name, operation in ground.operations.items():
        callers = [make() for make in ground.callers]
        cookies = [copy.deepcopy(caller.client.cookies) for caller in callers]

        @settings(
            how_long,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(st.lists(before, max_size=2), requests(name, operation, drawer), st.integers(0, len(callers) - 1))
        def ask(earlier: list[Drawn], last: Drawn, who: int) -> None:
            callers[who].client.cookies = copy.deepcopy(cookies[who])  # noqa: B023 - it is called in this turn.
            with transaction.atomic():
                for drawn in (*earlier, last):
                    check(ground, callers[who], drawn)  # noqa: B023
                transaction.set_rollback(True)

        try:
            ask()
        except AssertionError as fault:
            found.append(f"{name}: {fault}")
    assert not found, "\n\n".join(found)


def check(ground: Ground, caller: Api, drawn: Drawn) -> None:
    """Send a request and hold its answer against the description, and what it wrote against the audit."""
    name = f"fuzz-{next(_numbers)}"
    sent = dict(caller.headers) | drawn.headers | {"X-Request-ID": name}
    point = transaction.savepoint()
    with writes() as written:
        answer: Any = caller.client.generic(
            drawn.method, f"{PREFIX}{drawn.path}", drawn.body or b"", content_type=drawn.content_type, headers=sent
        )
    status, shown = answer.status_code, f"{drawn} was answered {answer.status_code} {answer.content[:500]!r}"
    ground.answers[drawn.name, status] += 1
    if status >= 400:
        # Outside of tests, whatever failed ends its transaction; here it would end the case's.
        transaction.savepoint_rollback(point)

    operation = ground.operations[drawn.name]
    assert status < 500 or drawn.name == "GET ready", shown
    assert str(status) in operation["responses"], shown
    _hold_against(operation["responses"][str(status)], answer, ground.parts, shown)
    if status < 300 and written:
        assert AuditEntry.objects.filter(request_id=name).exists(), f"{shown} and wrote {written} without an audit row"


def _hold_against(promised: dict[str, Any], answer: Any, parts: dict[str, Any], shown: str) -> None:
    if "content" not in promised:
        assert not answer.content, shown
        return
    ((kind, content),) = promised["content"].items()
    assert answer["Content-Type"].partition(";")[0] == kind, shown
    read = json.loads(answer.content, parse_constant=_no_number)
    wrong = list(itertools.islice(faults(read, content["schema"], parts), 3))
    assert not wrong, f"{shown}: {wrong}"
    assert kind != CONTENT_TYPE or read["status"] == answer.status_code, shown


def _no_number(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")
