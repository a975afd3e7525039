"""The filters of a symbol: what is refused before an order reaches the book."""

from venue.accounts import Account
from venue.amounts import product
from venue.errors import ApiError, filter_failure
from venue.listings import PRICE_DIVISOR_DOWN, PRICE_MULTIPLE_UP, Listing
from venue.matching.book import SymbolBook
from venue.orders import BUY, STOP_TYPES, OrderRequest


def check_filters(request: OrderRequest, book: SymbolBook, account: Account) -> None:
    """Refuse a request that breaks a filter, in the order in which the exchange looks."""
    listing = book.listing
    for price in (request.price, request.stop_price):
        if price:
            _check_price(price, listing)
    if request.price:
        _check_price_range(request.price, book)
    if request.quantity:
        _check_quantity(request, listing)
        _check_notional(request, book)
    elif request.quote_quantity and request.quote_quantity < listing.min_notional:
        raise filter_failure("NOTIONAL")
    _check_counts(request, account, listing)
    if listing.max_position and request.side == BUY:
        _check_position(request, account, listing)


def _check_price(price: int, listing: Listing) -> None:
    if price % listing.tick or not listing.tick <= price <= listing.max_price:
        raise filter_failure("PRICE_FILTER")


def _check_price_range(price: int, book: SymbolBook) -> None:
    # The average price of the documentation is the price of now here: one tick path, no noise.
    if not book.price <= price * PRICE_DIVISOR_DOWN or price > book.price * PRICE_MULTIPLE_UP:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")


def _check_quantity(request: OrderRequest, listing: Listing) -> None:
    if request.quantity % listing.step or not listing.smallest <= request.quantity <= listing.max_quantity:
        raise filter_failure("LOT_SIZE")
    takes_at_once = request.type in ("MARKET", "STOP_LOSS", "TAKE_PROFIT")
    if takes_at_once and request.quantity > listing.market_max_quantity:
        raise filter_failure("MARKET_LOT_SIZE")


def _check_notional(request: OrderRequest, book: SymbolBook) -> None:
    notional = product(request.price or book.price, request.quantity)
    if notional == 0:
        raise ApiError(-1013, "Price * QTY is zero or less.")
    if notional < book.listing.min_notional:
        raise filter_failure("NOTIONAL")
    if request.price and notional > book.listing.max_notional:
        raise filter_failure("NOTIONAL")


def _check_counts(request: OrderRequest, account: Account, listing: Listing) -> None:
    mine = [order for (symbol, _), order in account.open_orders.items() if symbol == request.symbol]
    if len(mine) >= listing.max_orders:
        raise filter_failure("MAX_NUM_ORDERS")
    if request.type in STOP_TYPES and sum(order.type in STOP_TYPES for order in mine) >= listing.max_algo_orders:
        raise filter_failure("MAX_NUM_ALGO_ORDERS")


def _check_position(request: OrderRequest, account: Account, listing: Listing) -> None:
    """Refuse a purchase that could bring more coins than one may hold, what is already being bought included."""
    held = account.balance(listing.base)
    bought = sum(order.remaining for order in account.open_orders.values() if order.symbol == request.symbol and order.is_buy)
    if held.free + held.locked + bought + request.quantity > listing.max_position:
        raise filter_failure("MAX_POSITION")
