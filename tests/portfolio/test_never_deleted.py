"""A bot and its book stay for ever: what they did is what the account is made of (O03)."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import ProtectedError
from django.test import RequestFactory

from bots.models import Bot
from portfolio.models import Book, Order
from tests.portfolio.world import NOW, World
from tradeapp import access

pytestmark = pytest.mark.fault("O03")


def test_a_book_with_orders_or_a_bot_cannot_be_deleted(world: World) -> None:
    world.decide(world.propose("place", side="buy", lots=100, limit_price=world.account().net_flows))
    ordered, owned = world.books[0], world.books[1]
    assert Order.objects.get().book == ordered
    Bot.objects.create(book=owned, key="FIRST", name="First", strategy="grid", interval="5m", rank=1, created_at=NOW)
    for book in (ordered, owned):
        with pytest.raises(ProtectedError):
            book.delete()
    assert Book.objects.count() == len(world.books)


@pytest.mark.parametrize("model", [Bot, Book, Order])
def test_the_admin_deletes_nothing_of_it(model: type) -> None:
    page = admin.site._registry.get(model)
    request = RequestFactory().get("/")
    request.user = User(username="root", is_active=True, is_staff=True, is_superuser=True)
    if page is not None:
        assert not page.has_delete_permission(request)
        assert "delete_selected" not in page.get_actions(request)


def test_the_api_has_no_operation_that_deletes_a_bot() -> None:
    deleting = [name for name in access.OPERATIONS if name.startswith("DELETE")]
    assert [name for name in deleting if name.endswith(("{bot_id}", "{book_id}", "{account_id}", "{order_id}"))] == []
