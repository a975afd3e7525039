"""One running exchange, and each client in turn."""

from __future__ import annotations

import importlib.util
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal

import pytest
import pytest_asyncio

from tests.conformance.protocol import Addresses, Client, Keys
from tests.venue.processes import ROOT, VenueProcess

IS_INSTALLED = importlib.util.find_spec("binance_sdk_spot") is not None
# Other people's clients live in .venv-conformance: `make conformance` installs them and runs this suite, nobody else does.
collect_ignore_glob = [] if IS_INSTALLED else ["test_*.py"]
COMPLAINTS = ("did not match the declared types", "Failed to parse", "Unknown user data event", "Error in callback")
FUNDS = {"USDT": "100000", "ETH": "20", "BTC": "1"}
_numbers = itertools.count(1)


class Exchange(VenueProcess):
    """The exchange, run by the house's interpreter: the clients' one cannot start it."""

    newest_uid = ""
    python = str(ROOT / ".venv" / "bin" / "python")

    def best(self, symbol: str = "ETHUSDT") -> tuple[Decimal, Decimal]:
        """Return the best bid and offer."""
        _, answer = self.ask("GET", f"/api/v3/ticker/bookTicker?symbol={symbol}")
        return Decimal(answer["bidPrice"]), Decimal(answer["askPrice"])

    def fund_newest(self, asset: str, amount: str) -> None:
        """Book money from outside to the account that was opened last."""
        self.control("POST", "/control/faucet", {"uid": self.newest_uid, "asset": asset, "amount": amount})

    def step(self, bars: int = 1) -> None:
        """Let market time pass."""
        self.control("POST", "/control/step", {"bars": bars})


@pytest.fixture(scope="session")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """Run an exchange with the synthetic market; time stands still unless a test lets it pass."""
    exchange = Exchange(tmp_path_factory.mktemp("venue") / "data", "--paused", "--speed", "100000")
    exchange.start()
    exchange.step()
    yield exchange
    exchange.stop()


@pytest.fixture(params=["python-binance", "binance-sdk-spot"])
def make_client(request: pytest.FixtureRequest, exchange: Exchange) -> Callable[[Keys], Client]:
    """Return how the client under test is made."""
    # Imported where they are needed: the house's own environment reads this file, too.
    if request.param == "python-binance":
        from tests.conformance.python_binance import PythonBinance

        return lambda keys: PythonBinance(Addresses(exchange.address), keys)
    from tests.conformance.official_sdk import OfficialSdk

    return lambda keys: OfficialSdk(Addresses(exchange.address), keys)


@pytest.fixture
def keys(exchange: Exchange) -> Keys:
    """Open an account with some of everything."""
    opened = exchange.open_account(f"conformance-{next(_numbers)}", **FUNDS)
    exchange.newest_uid = opened["uid"]
    return Keys(opened["api_key"], opened["api_secret"])


@pytest_asyncio.fixture
async def client(make_client: Callable[[Keys], Client], keys: Keys, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Client]:
    """Connect as the owner of that account; a client that complains about an answer fails the test."""
    caplog.set_level(logging.WARNING)
    client = make_client(keys)
    yield client
    await client.close()
    said = [record.getMessage() for record in caplog.records]
    assert not [line for line in said if any(words in line for words in COMPLAINTS)]
