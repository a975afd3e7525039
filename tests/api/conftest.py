"""An account with five funded books and real fills, asked through the API."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from bots.lineups import load
from bots.models import Bot
from bots.services import create_lineup
from marketdata.models import Market
from portfolio import services
from tests.portfolio.world import BALANCES, MARKET_AT, NOW, D, World, build
from tradeapp import secret_files
from trading.orders import ExchangeStatus

_keys = itertools.count(1)


@pytest.fixture(autouse=True)
def master_key(tmp_path: Path, settings: Any) -> Path:
    """Return the file of a master key of this test's own."""
    settings.MASTER_KEY_FILE = tmp_path / "master.key"
    secret_files.read_or_create(settings.MASTER_KEY_FILE, lambda: Fernet.generate_key().decode())
    return Path(settings.MASTER_KEY_FILE)


@pytest.fixture
def world(db: None) -> World:
    """Return an account one book of which bought and one of which bought and sold."""
    made = build()
    trade(made, book=0, sells=False)
    trade(made, book=1, sells=True)
    return made


def trade(world: World, *, book: int, sells: bool) -> None:
    """Have a book buy, and sell it all if asked."""
    world.decide(world.propose("enter", book, lots=300, limit_price=D("51000")))
    order = world.send(world.order(kind="enter", book=book))
    world.fill(order, "0.003", "50000.00", fee="0.000003", fee_asset="BTC")
    world.end(order, ExchangeStatus.FILLED)
    if sells:
        world.decide(world.propose("exit", book))
        order = world.send(world.order(kind="exit", book=book))
        world.fill(order, str(order.quantity), "51000.00", fee="0.1", fee_asset="USDT")
        world.end(order, ExchangeStatus.FILLED)


def line_up() -> list[Bot]:
    """Return the five bots of the first line-up on an account of their own."""
    Market.objects.update(market_time_at=timezone.now())
    facts: dict[str, Any] = {"mode": "paper", "deploy": "t2", "quote_asset": "USDT", "balances": BALANCES, "books": []}
    account = services.open_account(name="line-up", market=Market.objects.get(), now=NOW, market_at=MARKET_AT, **facts)
    return create_lineup(account_id=account.pk, plan=load(), by=None, now=NOW)


@pytest.fixture
def admin(db: None) -> User:
    """Return an administrator."""
    return User.objects.create_superuser("admin", password="a long enough password")


class Api:
    """A caller of the API."""

    def __init__(self, client: Client, **headers: str) -> None:
        self.client = client
        self.headers = headers

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api/v1/{path}", query, headers=self.headers)

    def send(self, method: str, path: str, body: Any = None, *, key: str | None = "", **headers: str) -> Any:
        """Send JSON; a new Idempotency-Key comes with it unless one is given, or None."""
        sent = dict(self.headers) | headers
        if key is not None:
            sent["Idempotency-Key"] = key or f"test-{next(_keys)}"
        text = body if isinstance(body, str | bytes) else json.dumps(body if body is not None else {})
        return self.client.generic(method, f"/api/v1/{path}", text, content_type="application/json", headers=sent)

    def post(self, path: str, body: Any = None, **kwargs: Any) -> Any:
        return self.send("POST", path, body, **kwargs)


@pytest.fixture
def api(admin: User) -> Api:
    """Return the API as an administrator's browser sees it, CSRF not in the way."""
    client = Client(raise_request_exception=False)
    client.force_login(admin)
    return Api(client)


def token_for(user: User, *scopes: str) -> Api:
    """Return the API as a script with a token sees it."""
    from tradeapp.tokens import create_token

    _, secret = create_token(name="script", scopes=scopes, by=user, now=timezone.now())
    return Api(Client(raise_request_exception=False, enforce_csrf_checks=True), Authorization=f"Bearer {secret}")
