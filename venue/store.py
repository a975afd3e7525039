"""The exchange's own durable store: one SQLite file per market, one commit per batch.

Callers change memory and note it in the journal; the store writes the journal from a thread of its
own and only then lets answers and events out. What the world has seen therefore survives a crash.
"""

import asyncio
import fcntl
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from venue import schema
from venue.accounts import Account, Balance
from venue.crossings import Crossing
from venue.journal import Flow, Journal, MarketEvent, UserEvent
from venue.orders import Order, Trade

# Marks a pacing client that has left.
GONE: Final = -1

_Statement = tuple[str, Sequence[tuple[Any, ...] | Mapping[str, Any]]]


class StoreUnusable(Exception):
    """The store cannot be opened or written; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which orders or fills of an account are wanted."""

    uid: int
    symbol: str
    first_id: int
    start: int
    end: int
    limit: int
    # True: the oldest that fit; false: the newest.
    forward: bool
    order_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossingPage:
    """Which deposits, or withdrawals where the sign is below zero, of an account are wanted."""

    uid: int
    sign: int
    asset: str | None
    status: int | None
    start: int
    end: int
    limit: int
    offset: int


class Store:
    """The file, its writer thread, and reads of what is no longer in memory."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(path.with_suffix(".lock"))
            path.touch(mode=0o600)
            self._writer = _connect(path)
            self._writer.executescript(schema.TABLES)
            self._reader = _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnusable(f"The exchange's store {path} cannot be opened: {error}.") from error
        self._reader.row_factory = sqlite3.Row
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    def facts(self) -> dict[str, str]:
        """Read all named facts: the clock's position, the settings changed at run time."""
        return {row["name"]: row["value"] for row in self._read("SELECT name, value FROM facts")}

    def counters(self) -> dict[str, tuple[int, int]]:
        """Read the last order and trade number of every symbol."""
        rows = self._read("SELECT symbol, order_id, trade_id FROM counters")
        return {symbol: (order_id, trade_id) for symbol, order_id, trade_id in rows}

    def clients(self) -> dict[str, int | None]:
        """Read the pacing clients and what each acknowledged last."""
        return {row["name"]: row["last_ack"] for row in self._read("SELECT name, last_ack FROM clients")}

    def days(self) -> dict[int, str]:
        """Read the checkpoints of a synthetic market."""
        return {row["day"]: row["state"] for row in self._read("SELECT day, state FROM days")}

    def accounts(self) -> list[Account]:
        """Read all accounts with their balances."""
        found = {row["uid"]: Account(**dict(row)) for row in self._read("SELECT * FROM accounts")}
        for row in self._read("SELECT * FROM balances"):
            found[row["uid"]].balances[row["asset"]] = Balance(row["free"], row["locked"])
        return list(found.values())

    def open_orders(self) -> list[Order]:
        """Read all open orders, oldest first per symbol."""
        return [_order(row) for row in self._read(schema.READ_OPEN_ORDERS)]

    def orders_of(self, uid: int) -> list[Order]:
        """Read every order an account ever placed, in order of arrival."""
        return [_order(row) for row in self._read(schema.READ_ORDERS_OF_ACCOUNT, (uid,))]

    def order(self, uid: int, symbol: str, order_id: int | None, client_order_id: str | None) -> Order | None:
        """Read one order by its number, or else by its client's id."""
        if order_id is not None:
            rows = self._read(schema.READ_ORDER, (uid, symbol, order_id))
        else:
            rows = self._read(schema.READ_ORDER_OF_CLIENT, (uid, symbol, client_order_id))
        found = [_order(row) for row in rows if client_order_id in (None, row["client_order_id"])]
        return found[0] if found else None

    def orders(self, page: Page) -> list[Order]:
        """Read a page of orders, oldest first."""
        statement = schema.READ_OLDEST_ORDERS if page.forward else schema.READ_NEWEST_ORDERS
        found = [_order(row) for row in self._read(statement, asdict(page))]
        return found if page.forward else found[::-1]

    def trades_of(self, uid: int) -> list[Trade]:
        """Read every fill an account ever had, in order of market time."""
        return [_trade(row) for row in self._read(schema.READ_TRADES_OF_ACCOUNT, (uid,))]

    def trades(self, page: Page) -> list[Trade]:
        """Read a page of fills, oldest first."""
        statement = schema.READ_OLDEST_TRADES if page.forward else schema.READ_NEWEST_TRADES
        found = [_trade(row) for row in self._read(statement, asdict(page))]
        return found if page.forward else found[::-1]

    def flows_of(self, uid: int) -> list[Flow]:
        """Read what an account got from outside or sent there."""
        return [Flow(**dict(row)) for row in self._read("SELECT * FROM flows WHERE uid = ? ORDER BY rowid", (uid,))]

    def last_crossing(self) -> int:
        """Read the newest number of a deposit or withdrawal."""
        [row] = self._read("SELECT COALESCE(MAX(number), 0) AS number FROM crossings")
        return int(row["number"])

    def waiting_crossings(self) -> list[Crossing]:
        """Read the deposits and withdrawals whose status may still change."""
        return [Crossing(**dict(row)) for row in self._read(schema.READ_WAITING_CROSSINGS)]

    def crossings(self, page: CrossingPage) -> list[Crossing]:
        """Read a page of deposits or withdrawals, the newest first."""
        return [Crossing(**dict(row)) for row in self._read(schema.READ_CROSSINGS, asdict(page))]

    async def write(self, journal: Journal) -> None:
        """Make a batch durable, all of it or nothing."""
        statements = list(_statements(journal))
        if statements:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, statements)

    def write_now(self, journal: Journal) -> None:
        """Make a batch durable before the exchange opens or after it has closed."""
        self._commit(list(_statements(journal)))

    def close(self) -> None:
        """Finish writing and close the file."""
        self._thread.shutdown(wait=True)
        self._writer.close()
        self._reader.close()
        self._lock.close()

    def _read(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[sqlite3.Row]:
        return self._reader.execute(statement, values).fetchall()

    def _commit(self, statements: list[_Statement]) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for statement, rows in statements:
                self._writer.executemany(statement, rows)
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreUnusable(f"The exchange's store cannot be written: {error}.") from error


class Committer:
    """Writes batch after batch, and tells the world about each once it is durable."""

    def __init__(
        self, store: Store, take: Callable[[], Journal], publish: Callable[[list[UserEvent | MarketEvent]], None]
    ) -> None:
        self._store = store
        self._take = take
        self._publish = publish
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []

    async def durable(self) -> None:
        """Wait until everything that has happened so far is on disk."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wake.set()
        await future

    async def run(self) -> None:
        """Commit whenever somebody waits; a failure ends the exchange before anything false is answered."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, []
            journal = self._take()
            await self._store.write(journal)
            self._publish(journal.events)
            for future in waiting:
                if not future.done():
                    future.set_result(None)


def _lock(path: Path) -> IO[bytes]:
    """Take the store for this process alone; the lock ends with the process, however it ends."""
    lock = path.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise StoreUnusable(f"Another exchange is running on {path.parent}. Stop it, or use another --data-dir.") from None
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _statements(journal: Journal) -> Iterator[_Statement]:
    """Copy the values of a batch now, so that later changes cannot slip into it."""
    held = [(uid, asset, journal.accounts[uid].balance(asset)) for uid, asset in journal.balances]
    batch: list[_Statement] = [
        (schema.WRITE_ORDER, [asdict(order) for order in journal.orders.values()]),
        (schema.WRITE_TRADE, [asdict(trade) for trade in journal.trades]),
        (schema.WRITE_ACCOUNT, [_account_row(account) for account in journal.accounts.values()]),
        (schema.WRITE_BALANCE, [(uid, asset, balance.free, balance.locked) for uid, asset, balance in held]),
        (schema.WRITE_FLOW, [asdict(flow) for flow in journal.flows]),
        (schema.WRITE_CROSSING, [asdict(crossing) for crossing in journal.crossings]),
        (schema.WRITE_COUNTER, [(symbol, *last) for symbol, last in journal.counters.items()]),
        (schema.WRITE_DAY, list(journal.days.items())),
        (schema.WRITE_FACT, list(journal.facts.items())),
        (schema.WRITE_CLIENT, [(name, ack) for name, ack in journal.clients.items() if ack != GONE]),
        (schema.REMOVE_CLIENT, [(name,) for name, ack in journal.clients.items() if ack == GONE]),
    ]
    gone: list[_Statement] = [(statement, [()]) for statement in schema.FORGET_ALL] if journal.is_reset else []
    return iter([*gone, *(statement for statement in batch if statement[1])])


def _account_row(account: Account) -> dict[str, Any]:
    return {
        "uid": account.uid,
        "name": account.name,
        "api_key": account.api_key,
        "api_secret": account.api_secret,
        "created_at": account.created_at,
        "trade_count": account.trade_count,
        "update_time": account.update_time,
    }


def _order(row: sqlite3.Row) -> Order:
    return Order(**(dict(row) | {"triggered": bool(row["triggered"])}))


def _trade(row: sqlite3.Row) -> Trade:
    return Trade(**(dict(row) | {"is_maker": bool(row["is_maker"])}))
