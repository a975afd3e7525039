"""Money of one order: what it locks, what a fill moves, what comes back."""

from venue.accounts import Account
from venue.amounts import product
from venue.errors import insufficient_balance
from venue.journal import Journal
from venue.listings import Listing
from venue.matching.fees import Tariff
from venue.matching.terms import Terms
from venue.orders import FILLED, PARTIALLY_FILLED, Order, Trade


def lock_asset(order: Order, listing: Listing) -> str:
    """Return what an order locks: the quote currency to buy, coins to sell."""
    return listing.quote if order.is_buy else listing.base


def obligation(order: Order, listing: Listing, terms: Terms) -> int:
    """Return what an order that waits must hold for its remaining quantity."""
    if not order.is_buy:
        return order.remaining
    if order.price:
        return product(order.price, order.remaining)
    # A stop that buys at the market has no price of its own: it holds what it would pay at its stop.
    return product(terms.taker_buy(order.stop_price, listing.tick), order.remaining)


def lock(account: Account, order: Order, listing: Listing, terms: Terms, journal: Journal) -> None:
    """Move what an order may need from free to locked, or refuse."""
    asset, needed = lock_asset(order, listing), obligation(order, listing, terms)
    balance = account.balance(asset)
    if balance.free < needed:
        raise insufficient_balance()
    balance.free -= needed
    balance.locked += needed
    order.locked = needed
    journal.touch_balance(account, asset)


def trim(account: Account, order: Order, listing: Listing, terms: Terms, journal: Journal) -> None:
    """Give back what an order that has become smaller no longer needs."""
    asset = lock_asset(order, listing)
    kept = min(obligation(order, listing, terms), order.locked)
    balance = account.balance(asset)
    balance.locked -= order.locked - kept
    balance.free += order.locked - kept
    order.locked = kept
    journal.touch_balance(account, asset)


def release(account: Account, order: Order, listing: Listing, journal: Journal) -> None:
    """Give back whatever an order still holds."""
    if not order.locked:
        return
    asset = lock_asset(order, listing)
    balance = account.balance(asset)
    balance.locked -= order.locked
    balance.free += order.locked
    order.locked = 0
    journal.touch_balance(account, asset)


def settle(
    account: Account,
    order: Order,
    listing: Listing,
    terms: Terms,
    tariff: Tariff,
    *,
    trade_id: int,
    price: int,
    quantity: int,
    is_maker: bool,
    at: int,
    wall_ms: int,
    journal: Journal,
) -> Trade:
    """Book a fill: pay, receive less the fee, and keep locked exactly what the rest needs."""
    quote = product(price, quantity)
    paid_asset, received_asset = (listing.quote, listing.base) if order.is_buy else (listing.base, listing.quote)
    paid, gross = (quote, quantity) if order.is_buy else (quantity, quote)
    order.executed += quantity
    order.executed_quote += quote
    order.status = FILLED if order.quantity and order.remaining == 0 else PARTIALLY_FILLED
    order.update_time = at
    _pay(account, order, paid_asset, paid, listing, terms)
    fee = tariff.charge(account, listing, bought=order.is_buy, quantity=quantity, quote=quote, is_maker=is_maker)
    account.balance(received_asset).free += gross
    account.balance(fee.asset).free -= fee.amount
    account.trade_count += 1
    account.update_time = at
    journal.touch(order)
    journal.touch_balance(account, paid_asset)
    journal.touch_balance(account, received_asset)
    journal.touch_balance(account, fee.asset)
    trade = Trade(
        symbol=order.symbol,
        trade_id=trade_id,
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        uid=order.uid,
        side=order.side,
        price=price,
        quantity=quantity,
        quote=quote,
        fee=fee.amount,
        fee_asset=fee.asset,
        is_maker=is_maker,
        time=at,
        booked_at_wall_ms=wall_ms,
    )
    journal.trades.append(trade)
    return trade


def _pay(account: Account, order: Order, asset: str, paid: int, listing: Listing, terms: Terms) -> None:
    balance = account.balance(asset)
    if not order.locked:
        balance.free -= paid
        return
    # A triggered stop has become a taker whose price may lie beyond its stop: it never holds more than before.
    kept = min(obligation(order, listing, terms), order.locked)
    freed = order.locked - kept
    balance.locked -= freed
    balance.free += freed - paid
    order.locked = kept
