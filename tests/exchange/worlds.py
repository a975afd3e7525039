"""Exchanges that an adapter can be put before: the local one for Binance's protocol, a stand-in for Coinbase's."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from exchange.connect import market_port, trading_port
from exchange.ports import MarketPort, TradingPort
from tests.exchange.coinbase_accounts import Account
from tests.exchange.coinbase_stand_in import CoinbaseStandIn
from tests.exchange.local_venue import LocalVenue, free_port

MONEY = Decimal(10_000)


class World(Protocol):
    """One exchange, and what can be done to whoever talks to it."""

    exchange: str
    # As the market is called everywhere, and on this exchange.
    pair: str
    symbol: str
    quote: str

    def open(self, name: str) -> None:
        """Make an account with money."""

    def port(self, name: str, *, is_shut: bool = False) -> TradingPort:
        """Connect to an account, or to a door that nobody opens."""

    def stranger(self) -> TradingPort:
        """Connect with a key that nobody has made."""

    def market(self) -> MarketPort:
        """Connect to the public market."""

    def orders(self, name: str) -> list[str]:
        """Return what the exchange's own orders of an account are called."""

    def price(self) -> Decimal:
        """Return about what the market costs."""

    def lose_answer(self) -> None:
        """Take the next order and lose the answer to it."""

    def refuse(self, status: int) -> None:
        """Answer the next order with this status, and do not take it."""

    async def cut_stream(self, name: str) -> None:
        """Cut the stream of an account."""


@dataclass
class BinanceWorld:
    venue: LocalVenue
    exchange: str
    pair: str = "BTC/USDT"
    symbol: str = "BTCUSDT"
    quote: str = "USDT"
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def open(self, name: str) -> None:
        body = {"name": f"{self.exchange}-{name}", "balances": {"USDT": str(MONEY)}}
        self.known[name] = self.venue.ask("/control/accounts", body)

    def port(self, name: str, *, is_shut: bool = False) -> TradingPort:
        rest_url = f"http://127.0.0.1:{free_port()}" if is_shut else self.venue.rest_url
        account = self.known[name]
        return self._port(account["api_key"], account["api_secret"], rest_url)

    def stranger(self) -> TradingPort:
        return self._port("x" * 64, "y" * 64, self.venue.rest_url)

    def market(self) -> MarketPort:
        return market_port(exchange=self.exchange, rest_url=self.venue.rest_url, stream_url=self.venue.stream_url)

    def orders(self, name: str) -> list[str]:
        books = self.venue.ask(f"/control/books/{self.known[name]['uid']}")
        return [row["clientOrderId"] for row in books["orders"]]

    def price(self) -> Decimal:
        return Decimal(self.venue.public(f"/api/v3/ticker/price?symbol={self.symbol}")["price"])

    def lose_answer(self) -> None:
        self.venue.arm({"id": "E03", "action": "drop_answer", "times": 1, "match": {"endpoint": "POST /api/v3/order"}})

    def refuse(self, status: int) -> None:
        words = {"status": status, "code": -1003 if status == 429 else -1008, "stage": "before"}
        self.venue.arm({"id": "E10", "action": "answer", "times": 1, "with": words, "match": {"endpoint": "POST /api/v3/order"}})

    async def cut_stream(self, name: str) -> None:
        match = {"stream": "user", "account": self.known[name]["uid"]}
        self.venue.arm({"id": "U01", "action": "cut", "match": match})

    def _port(self, key: str, secret: str, rest_url: str) -> TradingPort:
        stream_url = self.venue.stream_url
        return trading_port(
            exchange=self.exchange, key=key, secret=secret, rest_url=rest_url, stream_url=stream_url, is_local=True
        )


@dataclass
class CoinbaseWorld:
    stand_in: CoinbaseStandIn
    exchange: str = "coinbase"
    pair: str = "BTC/USD"
    symbol: str = "BTC-USD"
    quote: str = "USD"
    known: dict[str, Account] = field(default_factory=dict)

    def open(self, name: str) -> None:
        self.known[name] = self.stand_in.accounts.open(name, MONEY)

    def port(self, name: str, *, is_shut: bool = False) -> TradingPort:
        return self._port(self.known[name], free_port() if is_shut else self.stand_in.port)

    def stranger(self) -> TradingPort:
        account = self.stand_in.accounts.open("stranger", MONEY)
        del self.stand_in.accounts.known[account.key]
        return self._port(account, self.stand_in.port)

    def market(self) -> MarketPort:
        return market_port(exchange="coinbase", rest_url=self.stand_in.addresses["rest"], stream_url=self._stream_url)

    def orders(self, name: str) -> list[str]:
        return [row["client_order_id"] for row in self.known[name].orders.values()]

    def price(self) -> Decimal:
        return Decimal(str(self.stand_in.bid))

    def lose_answer(self) -> None:
        self.stand_in.accounts.answer_lost = True

    def refuse(self, status: int) -> None:
        self.stand_in.accounts.order_status = status

    async def cut_stream(self, name: str) -> None:
        for key, socket in self.stand_in.ears:
            if key == self.known[name].key:
                await socket.close()

    @property
    def _stream_url(self) -> str:
        return f"ws://127.0.0.1:{self.stand_in.port}"

    def _port(self, account: Account, rest_port: int) -> TradingPort:
        rest_url = f"http://127.0.0.1:{rest_port}"
        return trading_port(
            exchange="coinbase", key=account.key, secret=account.secret, rest_url=rest_url, stream_url=self._stream_url
        )
