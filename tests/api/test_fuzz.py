"""Thousands of requests that schemathesis draws from the description: none is a fault, every answer is described."""

from __future__ import annotations

import copy
import itertools
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import schemathesis
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from bots.lineups import SHIPPED, content_of, load
from bots.models import Bot
from marketdata.services import request_verify
from portfolio.models import AuditEntry, Order
from portfolio.trader import rights
from tests.api.conftest import Api, line_up, token_for
from tests.api.drawing import ADDRESS, Drawn, cases, prepared, read
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
# Whoever is not ready says so with a 503.
MAY_BE_UNREADY = f"GET {PREFIX}ready"
CHECKS: list[CheckFunction] = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    not_a_server_error,
]
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

    def told(self, name: str) -> dict[str, Any]:
        """Return what the description says of an operation, such as `POST /api/v1/bots/{bot_id}/start`."""
        method, template = name.split()
        found: dict[str, Any] = self.description["paths"][template][method.lower()]
        return found


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
@pytest.mark.timeout(900)
@pytest.mark.parametrize("ground", list(Role), indirect=True)
def test_no_request_is_a_fault_and_every_answer_is_described(ground: Ground) -> None:
    """Always the same cases, so that what was green stays green; new ones are looked for at night."""
    walk(ground, settings(max_examples=3, derandomize=True))

    # Requests that mean nothing prove nothing.
    assert ground.done > ground.answers.total() / 20, ground.answers


@pytest.mark.nightly
@pytest.mark.timeout(14400)
@pytest.mark.parametrize("ground", list(Role), indirect=True)
def test_twenty_thousand_requests_are_no_fault_and_described(ground: Ground) -> None:
    while ground.answers.total() < CASES_AT_NIGHT / len(Role):
        walk(ground, settings(max_examples=20))

    print(f"{ground.answers.total()} requests, {ground.done} of them granted: {Counter(status for _, status in ground.answers)}")


def walk(ground: Ground, how_long: settings) -> None:
    """Ask every operation, each case on the same ground, after up to two changes that others made."""
    schema = read(ground.description, ground.pools)
    operations = {found.ok().label: found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)}
    assert len(operations) == sum(map(len, ground.description["paths"].values())), "schemathesis cannot read some of them"
    before = st.one_of(
        [
            cases(operation, ground.told(name), ground.pools, only_valid=True)
            for name, operation in operations.items()
            if not name.startswith("GET ") and name.split()[1].removeprefix(PREFIX).partition("/")[0] not in OWN_DOOR
        ]
    )
    found = []
    for name, operation in operations.items():
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
        @given(st.lists(before, max_size=2), cases(operation, ground.told(name), ground.pools), st.integers(0, len(callers) - 1))
        def ask(earlier: list[Drawn], last: Drawn, who: int) -> None:
            callers[who].client.cookies = copy.deepcopy(cookies[who])  # noqa: B023 - it is called in this turn.
            with transaction.atomic():
                for case in (*earlier, last):
                    check(ground, callers[who], case)  # noqa: B023
                transaction.set_rollback(True)

        try:
            ask()
        except AssertionError as fault:
            found.append(f"{name}: {fault}")
    assert not found, "\n\n".join(found)


def check(ground: Ground, caller: Api, case: Drawn) -> None:
    """Send a request and hold its answer against the description, and what it wrote against the audit."""
    name = f"fuzz-{next(_numbers)}"
    point = transaction.savepoint()
    request = prepared(case, **caller.headers, **{"X-Request-ID": name})
    headers = {header: str(value) for header, value in request.headers.items()}
    with writes() as written:
        answer: Any = caller.client.generic(
            str(request.method),
            str(request.url).removeprefix(ADDRESS),
            request.body or b"",
            content_type=headers.pop("Content-Type", ""),
            headers=headers,
        )
    label = case.operation.label
    ground.answers[label, answer.status_code] += 1
    if answer.status_code >= 400:
        # Outside of tests, whatever failed ends its transaction; here it would end the case's.
        transaction.savepoint_rollback(point)

    case.validate_response(_as_received(answer, request), checks=CHECKS[: -1 if label == MAY_BE_UNREADY else None])
    read_back = json.loads(answer.content, parse_constant=_no_number) if answer.content else {}
    shown = f"{label} {request.url} {request.body!r} was answered {answer.status_code} {answer.content[:500]!r}"
    is_problem = answer["Content-Type"].startswith(CONTENT_TYPE) if answer.content else False
    assert not is_problem or read_back["status"] == answer.status_code, shown
    if answer.status_code < 300 and written:
        assert AuditEntry.objects.filter(request_id=name).exists(), f"{shown} and wrote {written} without an audit row"


def _as_received(answer: Any, request: requests.PreparedRequest) -> schemathesis.Response:
    headers = {name: [value] for name, value in answer.items()}
    return schemathesis.Response(answer.status_code, headers, answer.content, request, elapsed=0.0, verify=False)


def _no_number(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")
