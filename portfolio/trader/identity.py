"""Is this still the account that our books are about, and are we the only ones who trade it by these rules?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

import structlog

from exchange.errors import AccountNotOurs
from exchange.ports import TradingPort
from portfolio.models import Fill
from portfolio.services.resets import EXCHANGE_RESET
from portfolio.trader.keys import UnableToTrade
from portfolio.trader.session import Session
from trading.orders import generation, parse_client_order_id, same_family

log = structlog.get_logger()
FOREIGN_INSTANCE: Final = "FOREIGN_INSTANCE"
ACCOUNT_NOT_OURS: Final = "ACCOUNT_NOT_OURS"
# A younger trade may still be invisible to a read.
_SETTLED: Final = timedelta(minutes=15)


class KnownTrade(NamedTuple):
    """A trade that the exchange once told us."""

    symbol: str
    trade_id: int
    price: Decimal
    quantity: Decimal


async def refuse_if_reset(session: Session) -> None:
    """Stop for good when the exchange has forgotten a trade that it once told us: these are other books (E45).

    A testnet starts anew every month. What it holds then is never explained by our history, so nothing is
    reconciled: the account is halted until a person closes its books and opens new ones.
    """
    known = await session.database.run(settled_trade, session.account_id, before=session.clock())
    if known is None or not await has_forgotten(session.port, known):
        return
    log.error("exchange.reset", account=session.account_id, symbol=known.symbol, trade=known.trade_id)
    await session.halt(EXCHANGE_RESET, is_complete=True)
    raise UnableToTrade(
        f"The exchange does not know trade {known.trade_id} in {known.symbol} any more: it was reset, or this is another "
        "account. These books stay as they are: `python manage.py reopen` closes them and opens new ones for what it holds now."
    )


async def has_forgotten(port: TradingPort, known: KnownTrade | None) -> bool:
    """Ask whether the exchange has no memory of a trade that it once told us; numbers begin anew, so a number is no proof."""
    if known is None:
        return False
    told = await port.trades_since(known.symbol, known.trade_id)
    return all((row.trade_id, row.price, row.quantity) != (known.trade_id, known.price, known.quantity) for row in told)


async def refuse_other_account(session: Session) -> None:
    """Stop for good, before anything is read into the books or sent, when the key opens another account (I-36)."""
    try:
        await session.port.balances()
    except AccountNotOurs as error:
        await session.halt(ACCOUNT_NOT_OURS, is_complete=True)
        raise UnableToTrade(f"{error} Store the right key; then a person resumes the account.") from error


async def halt_if_not_alone(session: Session, client_order_ids: Iterable[str]) -> None:
    """Halt entries when an order of a living instance other than ours rests on the account (E44)."""
    for name in client_order_ids:
        parsed = parse_client_order_id(name)
        if parsed is None or parsed.deploy == session.deploy:
            continue
        is_earlier_life = same_family(parsed.deploy, session.deploy) and generation(parsed.deploy) < generation(session.deploy)
        if not is_earlier_life:
            log.error("instance.foreign", account=session.account_id, order=name, deploy=session.deploy)
            await session.halt(FOREIGN_INSTANCE)
            return


def settled_trade(account_id: int, *, before: datetime) -> KnownTrade | None:
    """Return the newest trade that is too old to be merely invisible."""
    rows = Fill.objects.filter(account=account_id, posted_at__lt=before - _SETTLED).order_by("-id")
    row = rows.values_list("instrument__venue_symbol", "trade_id", "price", "quantity").first()
    return None if row is None else KnownTrade(*row)
