"""What the timed starts need of the product itself, by its own services. Import it when Django is set up."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from django.db import transaction
from django.utils import timezone

from bots.models import Bot
from bots.services import stop_bot
from marketdata.models import Instrument, Mark
from portfolio.jobs.coordinate import coordinate
from portfolio.models import Book
from portfolio.trader import keys as stored
from portfolio.writers import accounts
from tools.chaos.system import Stuck
from trading.proposals import Proposal, ProposalKind

SYMBOLS = ("BTCUSDT", "ETHUSDT")
# Far enough not to be filled by the next candles, near enough not to be refused.
BELOW = Decimal("0.95")
APART = Decimal("0.0005")
# A little above what the exchange takes.
WORTH = Decimal("7.5")
_FIRST_LEG = 10_000


def stop_bots(account: int) -> None:
    """Stop every bot: its resting entries are cancelled."""
    for bot in Bot.objects.filter(book__account=account):
        stop_bot(bot_id=bot.pk, by=None, now=timezone.now())


def place_orders(account: int, count: int) -> None:
    """Have the coordinator accept so many small purchases that rest, shared out among books and symbols."""
    books = list(Book.objects.filter(account=account).order_by("number"))
    Book.objects.filter(account=account).update(position_cap_percent=100)
    with transaction.atomic():
        locked = accounts.lock(account)
        market_at = locked.synced_through_at
        if market_at is None:
            raise Stuck("the account has no market time yet")
        proposals = [_proposal(books, number) for number in range(count)]
        outcomes = coordinate(locked, proposals, market_at=market_at, now=timezone.now())
    refused = {outcome.code for outcome in outcomes if not outcome.is_accepted}
    if refused:
        raise Stuck(f"the coordinator refused orders: {', '.join(sorted(refused))}")


def keys(account: int) -> tuple[str, str]:
    """Return the account's key and secret."""
    _, key, secret = stored.account_and_key(account)
    return key, secret


def _proposal(books: list[Book], number: int) -> Proposal:
    rank, step = number % len(books), number // len(books)
    instrument = Instrument.objects.get(venue_symbol=SYMBOLS[step % len(SYMBOLS)], market=books[0].account.market_id)
    mark = Mark.objects.get(instrument=instrument).price
    price = _floor(mark * (BELOW - APART * (number // 2)), instrument.tick_size)
    return Proposal(
        book_id=books[rank].pk,
        rank=rank,
        leg=_FIRST_LEG + number,
        instrument_id=instrument.pk,
        kind=ProposalKind.PLACE,
        reason="CHAOS_PLACE",
        side="buy",
        slot=step,
        lots=int(WORTH / price / instrument.lot_size) + 1,
        limit_price=price,
    )


def _floor(price: Decimal, tick: Decimal) -> Decimal:
    return (price / tick).to_integral_value(ROUND_FLOOR) * tick
