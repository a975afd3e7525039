"""Is this still the account that our books are about, and are we the only ones who trade it by these rules?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import structlog

from portfolio.models import Fill
from portfolio.trader.keys import UnableToTrade
from portfolio.trader.session import Session
from trading.orders import generation, parse_client_order_id, same_family

log = structlog.get_logger()
EXCHANGE_RESET: Final = "EXCHANGE_RESET"
FOREIGN_INSTANCE: Final = "FOREIGN_INSTANCE"
# A younger trade may still be invisible to a read.
_SETTLED: Final = timedelta(minutes=15)


async def refuse_if_reset(session: Session) -> None:
    """Stop for good when the exchange has forgotten a trade that it once told us: these are other books (E45).

    A testnet starts anew every month. What it holds then is never explained by our history, so nothing is
    reconciled: the account is halted until a person closes its books and opens new ones.
    """
    known = await session.database.run(_settled_trade, session.account_id, before=session.clock() - _SETTLED)
    if known is None:
        return
    symbol, trade_id = known
    if any(trade.trade_id == trade_id for trade in await session.port.trades_since(symbol, trade_id)):
        return
    log.error("exchange.reset", account=session.account_id, symbol=symbol, trade=trade_id)
    await session.halt(EXCHANGE_RESET, is_complete=True)
    raise UnableToTrade(
        f"The exchange does not know trade {trade_id} in {symbol} any more: it was reset, or this is another account. "
        "These books are closed: open a new account for what the exchange holds now."
    )


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


def _settled_trade(account_id: int, *, before: datetime) -> tuple[str, int] | None:
    rows = Fill.objects.filter(account=account_id, posted_at__lt=before).order_by("-id")
    return rows.values_list("instrument__venue_symbol", "trade_id").first()
