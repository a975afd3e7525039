"""The exchange's own durable store: one SQLite file per market, one commit per batch.

Callers change memory and note it in the journal; the store writes the journal from a thread of its
own and only then lets answers and events out. What the world has seen therefore survives a crash.
"""

import asyncio
import fcntl
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, Final

from venue.accounts import Account, Balance
from venue.journal import Flow, Journal, MarketEvent, UserEvent
from venue.orders import NEW, PARTIALLY_FILLED, Order, Trade

# Marks a pacing client that has left.
GONE: Final = -1
_ORDER_FIELDS: Final = tuple(field.name for field in fields(Order))
_TRADE_FIELDS: Final = tuple(field.name for field in fields(Trade))
_FLOW_FIELDS: Final = tuple(field.name for field in fields(Flow))
_ACCOUNT_FIELDS: Final = ("uid", "name", "api_key", "api_secret", "created_at", "trade_count", "update_time")
_TEXTS: Final = frozenset(
    {"symbol", "client_order_id", "cancel_client_id", "side", "type", "time_in_force", "prevention", "status"}
    | {"fee_asset", "asset", "name", "api_key", "api_secret"}
)
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counters (symbol TEXT PRIMARY KEY, order_id INTEGER NOT NULL, trade_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS accounts ({accounts}, PRIMARY KEY (uid));
CREATE TABLE IF NOT EXISTS balances (uid INTEGER, asset TEXT, free INTEGER NOT NULL CHECK (free >= 0),
    locked INTEGER NOT NULL CHECK (locked >= 0), PRIMARY KEY (uid, asset));
CREATE TABLE IF NOT EXISTS orders ({orders}, PRIMARY KEY (symbol, order_id));
CREATE INDEX IF NOT EXISTS orders_of_account ON orders (uid, symbol, order_id);
CREATE INDEX IF NOT EXISTS orders_of_client ON orders (uid, symbol, client_order_id, order_id);
CREATE INDEX IF NOT EXISTS open_orders ON orders (status) WHERE status IN ('NEW', 'PARTIALLY_FILLED');
CREATE TABLE IF NOT EXISTS trades ({trades}, PRIMARY KEY (symbol, trade_id));
CREATE INDEX IF NOT EXISTS trades_of_account ON trades (uid, symbol, trade_id);
CREATE INDEX IF NOT EXISTS trades_of_order ON trades (symbol, order_id);
CREATE TABLE IF NOT EXISTS flows ({flows});
CREATE TABLE IF NOT EXISTS clients (name TEXT PRIMARY KEY, last_ack INTEGER);
CREATE TABLE IF NOT EXISTS days (day INTEGER PRIMARY KEY, state TEXT NOT NULL);
"""


class StoreUnusable(Exception):
    """The store cannot be opened or written; the text says why."""


class Store:
    """The file, its writer thread, and reads of what is no longer in memory."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(path.with_suffix(".lock"))
            path.touch(mode=0o600)
            self._writer = _connect(path)
            self._writer.executescript(_schema())
            self._reader = _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnusable(f"The exchange's store {path} cannot be opened: {error}.") from error
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    def facts(self) -> dict[str, str]:
        """Read all named facts: the clock's position, the settings changed at run time."""
        return dict(self._reader.execute("SELECT name, value FROM facts"))

    def counters(self) -> dict[str, tuple[int, int]]:
        """Read the last order and trade number of every symbol."""
        rows = self._reader.execute("SELECT symbol, order_id, trade_id FROM counters")
        return {symbol: (order_id, trade_id) for symbol, order_id, trade_id in rows}

    def clients(self) -> dict[str, int | None]:
        """Read the pacing clients and what each acknowledged last."""
        return dict(self._reader.execute("SELECT name, last_ack FROM clients"))

    def days(self) -> dict[int, str]:
        """Read the checkpoints of a synthetic market."""
        return dict(self._reader.execute("SELECT day, state FROM days"))

    def accounts(self) -> list[Account]:
        """Read all accounts with their balances."""
        rows = self._reader.execute(f"SELECT {', '.join(_ACCOUNT_FIELDS)} FROM accounts")  # noqa: S608 - own names.
        found = {row[0]: Account(**dict(zip(_ACCOUNT_FIELDS, row, strict=True))) for row in rows}
        for uid, asset, free, locked in self._reader.execute("SELECT uid, asset, free, locked FROM balances"):
            found[uid].balances[asset] = Balance(free, locked)
        return list(found.values())

    def open_orders(self) -> list[Order]:
        """Read all open orders, oldest first per symbol."""
        return self.orders(f"status IN ('{NEW}', '{PARTIALLY_FILLED}') ORDER BY symbol, order_id")

    def orders(self, where: str, *values: object) -> list[Order]:
        """Read orders by a condition."""
        query = f"SELECT {', '.join(_ORDER_FIELDS)} FROM orders WHERE {where}"  # noqa: S608 - own conditions.
        return [_order(row) for row in self._reader.execute(query, values)]

    def trades(self, where: str, *values: object) -> list[Trade]:
        """Read trades by a condition."""
        query = f"SELECT {', '.join(_TRADE_FIELDS)} FROM trades WHERE {where}"  # noqa: S608 - own conditions.
        return [_trade(row) for row in self._reader.execute(query, values)]

    def flows(self, uid: int) -> list[Flow]:
        """Read what an account got from outside or sent there."""
        query = f"SELECT {', '.join(_FLOW_FIELDS)} FROM flows WHERE uid = ? ORDER BY rowid"  # noqa: S608 - own names.
        return [Flow(*row) for row in self._reader.execute(query, (uid,))]

    async def write(self, journal: Journal) -> None:
        """Make a batch durable, all of it or nothing."""
        statements = list(_statements(journal))
        if statements:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, statements)

    def write_now(self, journal: Journal) -> None:
        """Make a batch durable before the exchange opens."""
        self._commit(list(_statements(journal)))

    def close(self) -> None:
        """Finish writing and close the file."""
        self._thread.shutdown(wait=True)
        self._writer.close()
        self._reader.close()
        self._lock.close()

    def _commit(self, statements: list[tuple[str, list[tuple[Any, ...]]]]) -> None:
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


def _schema() -> str:
    def columns(names: Iterable[str]) -> str:
        return ", ".join(f"{name} {'TEXT' if name in _TEXTS else 'INTEGER'}" for name in names)

    return _SCHEMA.format(
        accounts=columns(_ACCOUNT_FIELDS),
        orders=columns(_ORDER_FIELDS),
        trades=columns(_TRADE_FIELDS),
        flows=columns(_FLOW_FIELDS),
    )


def _statements(journal: Journal) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Copy the values of a batch now, so that later changes cannot slip into it."""
    if journal.orders:
        yield _upsert("orders", _ORDER_FIELDS), [_row(order, _ORDER_FIELDS) for order in journal.orders.values()]
    if journal.trades:
        yield _insert("trades", _TRADE_FIELDS), [_row(trade, _TRADE_FIELDS) for trade in journal.trades]
    if journal.accounts:
        yield _upsert("accounts", _ACCOUNT_FIELDS), [_row(item, _ACCOUNT_FIELDS) for item in journal.accounts.values()]
    if journal.balances:
        held = [(uid, asset, journal.accounts[uid].balance(asset)) for uid, asset in journal.balances]
        rows = [(uid, asset, balance.free, balance.locked) for uid, asset, balance in held]
        yield _upsert("balances", ("uid", "asset", "free", "locked")), rows
    if journal.flows:
        yield _insert("flows", _FLOW_FIELDS), [_row(flow, _FLOW_FIELDS) for flow in journal.flows]
    if journal.counters:
        counted = [(symbol, *last) for symbol, last in journal.counters.items()]
        yield _upsert("counters", ("symbol", "order_id", "trade_id")), counted
    if journal.days:
        yield _upsert("days", ("day", "state")), list(journal.days.items())
    if journal.facts:
        yield _upsert("facts", ("name", "value")), list(journal.facts.items())
    kept = [(name, ack) for name, ack in journal.clients.items() if ack != GONE]
    if kept:
        yield _upsert("clients", ("name", "last_ack")), kept
    gone = [(name,) for name, ack in journal.clients.items() if ack == GONE]
    if gone:
        yield "DELETE FROM clients WHERE name = ?", gone


def _insert(table: str, names: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - own names.


def _upsert(table: str, names: tuple[str, ...]) -> str:
    return _insert(table, names).replace("INSERT", "INSERT OR REPLACE", 1)


def _row(item: object, names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(getattr(item, name) for name in names)


def _order(row: tuple[Any, ...]) -> Order:
    values = dict(zip(_ORDER_FIELDS, row, strict=True))
    values["triggered"] = bool(values["triggered"])
    return Order(**values)


def _trade(row: tuple[Any, ...]) -> Trade:
    values = dict(zip(_TRADE_FIELDS, row, strict=True))
    values["is_maker"] = bool(values["is_maker"])
    return Trade(**values)
