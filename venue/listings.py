"""What is listed: each symbol with the filters it trades under."""

from dataclasses import dataclass, replace
from typing import Final

from venue.amounts import UNIT, parse, text

QUOTES: Final = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "BTC", "ETH", "BNB", "EUR", "USD")
ORDER_TYPES: Final = (
    "LIMIT",
    "LIMIT_MAKER",
    "MARKET",
    "STOP_LOSS",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
)
PREVENTION_MODES: Final = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT")
MAX_NUM_ORDERS: Final = 200
MAX_NUM_ALGO_ORDERS: Final = 5
PRICE_MULTIPLE_UP: Final = 5
# The documented 0.2, as a divisor, so that the comparison stays exact.
PRICE_DIVISOR_DOWN: Final = 5

# Tick, step, largest quantity, largest market quantity: what these markets had in 2024.
_FILTERS: Final = {
    "BTCUSDT": ("0.01", "0.00001", "9000", "120"),
    "ETHUSDT": ("0.01", "0.0001", "9000", "2200"),
    "BNBUSDT": ("0.01", "0.001", "900000", "2000"),
    "SOLUSDT": ("0.01", "0.001", "900000", "24000"),
    "XRPUSDT": ("0.0001", "0.1", "9222449", "1900000"),
    "ADAUSDT": ("0.0001", "0.1", "900000", "900000"),
    "DOGEUSDT": ("0.00001", "1", "9000000", "9000000"),
    "AVAXUSDT": ("0.01", "0.01", "902901.77", "90000"),
    "LINKUSDT": ("0.01", "0.01", "900000", "90000"),
    "DOTUSDT": ("0.001", "0.01", "900000", "120000"),
    "LTCUSDT": ("0.01", "0.001", "900000", "9000"),
    "BTCUSDC": ("0.01", "0.00001", "9000", "120"),
    "ETHBTC": ("0.00001", "0.001", "100000", "2400"),
    "ADABTC": ("0.00000001", "1", "90000000", "4800000"),
    "XRPBTC": ("0.00000001", "1", "90000000", "4800000"),
    "DOGEBTC": ("0.00000001", "1", "90000000", "9000000"),
}
_DEFAULT: Final = ("0.01", "0.001", "900000", "90000")
_MIN_NOTIONAL: Final = {"BTC": "0.0001", "ETH": "0.001", "BNB": "0.01"}
_MAX_NOTIONAL: Final = "9000000"
_MAX_PRICE: Final = "1000000"


class NotListed(ValueError):
    """This name is no pair of a coin and a known quote currency."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A symbol and its filters, in units of 1e-8."""

    symbol: str
    base: str
    quote: str
    tick: int
    step: int
    max_quantity: int
    market_max_quantity: int
    min_notional: int
    max_notional: int
    max_price: int
    min_quantity: int = 0
    max_position: int = 0
    max_orders: int = MAX_NUM_ORDERS
    max_algo_orders: int = MAX_NUM_ALGO_ORDERS

    @property
    def smallest(self) -> int:
        """Return the smallest quantity of an order."""
        return self.min_quantity or self.step

    def with_tick(self, tick: int) -> "Listing":
        """Give the listing a finer tick, and a coarser step where amounts would not stay whole."""
        tick = min(tick, self.tick)
        step = self.step
        while tick * step % UNIT:
            step *= 10
        return replace(self, tick=tick, step=step)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Split BTCUSDT into its coin and its quote currency."""
    for quote in QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol[: -len(quote)], quote
    raise NotListed(f"{symbol} does not end in one of {', '.join(QUOTES)}")


def listing(symbol: str) -> Listing:
    """Return the filters of a symbol; unknown coins get plain ones."""
    base, quote = split_symbol(symbol)
    tick, step, largest, largest_market = _FILTERS.get(symbol, _DEFAULT)
    plain = Listing(
        symbol=symbol,
        base=base,
        quote=quote,
        tick=parse(tick),
        step=parse(step),
        max_quantity=parse(largest),
        market_max_quantity=parse(largest_market),
        min_notional=parse(_MIN_NOTIONAL.get(quote, "5")),
        max_notional=parse(_MAX_NOTIONAL),
        max_price=parse(_MAX_PRICE),
    )
    return plain.with_tick(plain.tick)


def symbol_information(item: Listing, *, is_halted: bool = False) -> dict[str, object]:
    """Describe a symbol as exchangeInfo does."""
    return {
        "symbol": item.symbol,
        "status": "BREAK" if is_halted else "TRADING",
        "baseAsset": item.base,
        "baseAssetPrecision": 8,
        "quoteAsset": item.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(item),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": list(PREVENTION_MODES),
    }


def _filters(item: Listing) -> list[dict[str, object]]:
    filters: list[dict[str, object]] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": text(item.tick),
            "maxPrice": text(item.max_price),
            "tickSize": text(item.tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": text(item.smallest),
            "maxQty": text(item.max_quantity),
            "stepSize": text(item.step),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": text(0),
            "maxQty": text(item.market_max_quantity),
            "stepSize": text(0),
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": text(item.min_notional),
            "applyMinToMarket": True,
            "maxNotional": text(item.max_notional),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": item.max_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": item.max_algo_orders},
    ]
    if item.max_position:
        filters.append({"filterType": "MAX_POSITION", "maxPosition": text(item.max_position)})
    return filters
