"""Pages over an empty installation and over one with bots that traded."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from bots.lineups import load
from bots.models import Bot
from bots.services import create_lineup
from marketdata.models import Instrument, Market
from portfolio import services
from tests.portfolio.world import BALANCES, MARKET_AT, NOW, World, build


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_superuser("admin", password="a long enough password")


@pytest.fixture
def browser(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def world(db: None) -> World:
    """Return a funded account without bots."""
    return build()


@pytest.fixture
def bots(world: World) -> list[Bot]:
    """Return the five bots of the first line-up on an account of their own, which is the one that pages show."""
    market = Market.objects.get()
    account = services.open_account(
        name="line-up",
        market=market,
        mode="paper",
        deploy="t2",
        quote_asset="USDT",
        balances=BALANCES,
        books=[],
        now=NOW,
        market_at=MARKET_AT,
    )
    assert Instrument.objects.filter(market=market).count() == 3
    return create_lineup(account_id=account.pk, plan=load(), by=None, now=NOW)
