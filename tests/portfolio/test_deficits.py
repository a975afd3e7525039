"""A book that owes coins gets them at the mark, from the operator or from another book, and everything still adds up."""

from __future__ import annotations

import json
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from marketdata.models import Mark
from portfolio import selectors
from portfolio.models import AuditEntry, Book, DeficitCover, LedgerAccount, Order
from portfolio.selectors.deficits import deficits
from portfolio.selectors.trades import trades
from portfolio.services.deficits import UnableToCover, cover_deficit
from tests.portfolio.deficit import deposit, oversold
from tests.portfolio.world import NOW, World

D = Decimal


@pytest.fixture
def owing(world: World) -> World:
    """Return books of which the first owes 0.0038 BTC that the operator has."""
    deposit(world, "BTC", "0.01")
    world.fill(oversold(world), "0.0038", "50200")
    return world


def cover(
    world: World, *, amount: str | None = None, source: int | None = None, book: int = 0, asset: str = "BTC"
) -> DeficitCover:
    return cover_deficit(
        account_id=world.account_id,
        book_id=world.books[book].pk,
        asset=asset,
        source_id=None if source is None else world.books[source].pk,
        amount=None if amount is None else D(amount),
        by=None,
        reason="sold twice",
        now=NOW,
    )


def pocket(world: World, kind: str, asset: str, book: int | None = 0) -> Decimal:
    row = LedgerAccount.objects.filter(
        account=world.account_id, kind=kind, asset=asset, book=None if book is None else world.books[book]
    ).first()
    return row.balance if row else D(0)


def test_what_is_owed_and_who_could_give_it_is_told(owing: World) -> None:
    (row,) = deficits(owing.account())
    assert (row.bot, row.asset, row.symbol, row.amount, row.mark) == ("Book 1", "BTC", "BTC/USDT", D("0.0038"), D(50000))
    assert row.cost == D(190)
    assert [(source.book_id, source.name, source.free, source.most) for source in row.sources] == [
        (None, "Unallocated", D("0.01"), D("0.0038"))
    ]


def test_the_operator_covers_it(owing: World) -> None:
    """The book's worth does not change by it, the account's neither, and its position is closed at the mark."""
    before = selectors.account_overview(owing.account_id)
    cash = pocket(owing, "available", "USDT")
    row = cover(owing)

    assert (row.quantity, row.mark, row.value) == (D("0.0038"), D(50000), D(190))
    # Sold at 50,200, bought back at 50,000.
    assert row.realised == D("0.76")
    assert pocket(owing, "deficit", "BTC") == 0
    assert pocket(owing, "available", "USDT") == cash - 190
    assert pocket(owing, "unallocated", "BTC", None) == D("0.0062")
    position = owing.position()
    assert (position.quantity, position.cost) == (0, 0)
    after = selectors.account_overview(owing.account_id)
    assert after.equity == before.equity
    assert [book.pnl for book in after.books] == [book.pnl for book in before.books]
    assert owing.compare().outcome == "exact"
    assert owing.verify() == []
    assert Book.objects.get(pk=owing.books[0].pk).is_halted, "a person looks before the bot goes on"
    note = AuditEntry.objects.get(action="deficit.cover")
    assert note.after == {
        "asset": "BTC", "amount": "0.0038", "mark": "50000", "value": "190", "source": None, "reason": "sold twice",
    }  # fmt: skip


def test_another_book_covers_a_part(owing: World) -> None:
    """It sells at the mark what it holds; what is left is still owed."""
    # Only the first book's entries are halted with its account: the operator lets the others go on.
    account = owing.account()
    account.state = "active"
    account.save()
    owing.decide(owing.propose("enter", 1, lots=300, limit_price=D("50505")))
    owing.fill(owing.send(owing.order(kind="enter", book=1)), "0.003", "49000")
    row = cover(owing, amount="0.002", source=1)

    assert (row.realised, row.realised_source) == (D("0.4"), D(2))
    assert pocket(owing, "deficit", "BTC") == D("-0.0018")
    assert owing.position(1).quantity == D("0.001")
    assert owing.position().quantity == D("-0.0018")
    assert owing.compare().outcome == "exact"
    assert owing.verify() == []
    (told,) = trades(account_id=owing.account_id, book_id=owing.books[1].pk)
    assert (told.closed_at, told.profit, told.proceeds) == (None, D(2), D(100)), "still open, a part of it sold"


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"amount": "0.0039"}, "DEFICIT_NONE"),
        ({"amount": "0"}, "DEFICIT_NONE"),
        ({"amount": "-1"}, "DEFICIT_NONE"),
        ({"book": 1}, "DEFICIT_NONE"),
        ({"asset": "USDT"}, "DEFICIT_NONE"),
        ({"asset": "ETH"}, "DEFICIT_NONE"),
        ({"source": 0}, "DEFICIT_SOURCE_SHORT"),
        ({"source": 1}, "DEFICIT_SOURCE_SHORT"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(owing: World, wish: dict[str, object], code: str) -> None:
    before = owing.account().ledger_seq
    with pytest.raises(UnableToCover) as refused:
        cover(owing, **wish)  # type: ignore[arg-type]
    assert refused.value.code == code
    assert owing.account().ledger_seq == before
    assert not DeficitCover.objects.exists()


def test_who_cannot_pay_is_told_what_is_missing(owing: World) -> None:
    Mark.objects.filter(instrument=owing.instruments["BTC/USDT"]).update(price=D(600_000))
    with pytest.raises(UnableToCover) as refused:
        cover(owing)
    assert refused.value.code == "CAPITAL_INSUFFICIENT"
    assert refused.value.facts["needed"] == "2280"
    (row,) = deficits(owing.account())
    assert cover(owing, amount=str(row.sources[0].most)).value <= row.cash
    assert owing.verify() == []


def test_without_a_price_nothing_is_bought(owing: World) -> None:
    Mark.objects.all().delete()
    with pytest.raises(UnableToCover) as refused:
        cover(owing)
    assert refused.value.code == "DATA_STALE"


def test_while_its_order_lives_nothing_is_covered(world: World) -> None:
    """It may still end without a trade: then nothing is owed any more."""
    deposit(world, "BTC", "0.01")
    order = oversold(world)
    with pytest.raises(UnableToCover) as refused:
        cover(world)
    assert (refused.value.code, refused.value.facts) == ("DEFICIT_ORDERS_LIVE", {"order": order.client_order_id})
    world.end(Order.objects.get(pk=order.pk))
    assert deficits(world.account()) == []


def test_the_command_lists_and_covers(owing: World) -> None:
    def run(*words: str) -> str:
        out = StringIO()
        call_command("cover_deficit", "--account", str(owing.account_id), *words, stdout=out)
        return out.getvalue().strip()

    assert run() == "Book 1 owes 0.0038 BTC; Unallocated has 0.01."
    assert json.loads(run("--json")) == [{"book": "Book 1", "asset": "BTC", "amount": "0.0038"}]
    with pytest.raises(CommandError, match="Known: Book 1"):
        run("--book", "Nobody", "--asset", "BTC", "--reason", "x")
    with pytest.raises(CommandError, match="no amount"):
        run("--book", "Book 1", "--asset", "BTC", "--reason", "x", "--amount", "much")
    with pytest.raises(CommandError, match="DEFICIT_SOURCE_SHORT"):
        run("--book", "Book 1", "--asset", "BTC", "--reason", "x", "--from", "Book 2")
    assert run("--book", "Book 1", "--asset", "BTC", "--reason", "x") == "Book 1 bought 0.0038 BTC at 50000 for 190."
    assert run() == f"No book of {owing.account().name} owes coins."
