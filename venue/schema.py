"""The tables of the exchange's store, and the statements that fill them."""

from typing import Final

TABLES: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counters (symbol TEXT PRIMARY KEY, order_id INTEGER NOT NULL, trade_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS clients (name TEXT PRIMARY KEY, last_ack INTEGER);
CREATE TABLE IF NOT EXISTS days (day INTEGER PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS accounts (
    uid INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, api_key TEXT NOT NULL UNIQUE, api_secret TEXT NOT NULL,
    created_at INTEGER NOT NULL, trade_count INTEGER NOT NULL, update_time INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS balances (
    uid INTEGER NOT NULL, asset TEXT NOT NULL, free INTEGER NOT NULL CHECK (free >= 0),
    locked INTEGER NOT NULL CHECK (locked >= 0), PRIMARY KEY (uid, asset)
);
CREATE TABLE IF NOT EXISTS orders (
    symbol TEXT NOT NULL, order_id INTEGER NOT NULL, uid INTEGER NOT NULL, client_order_id TEXT NOT NULL,
    side TEXT NOT NULL, type TEXT NOT NULL, time_in_force TEXT NOT NULL, price INTEGER NOT NULL,
    stop_price INTEGER NOT NULL, quantity INTEGER NOT NULL, quote_quantity INTEGER NOT NULL,
    prevention TEXT NOT NULL, status TEXT NOT NULL, time INTEGER NOT NULL, update_time INTEGER NOT NULL,
    working_time INTEGER NOT NULL, received_at_wall_ms INTEGER NOT NULL, executed INTEGER NOT NULL,
    executed_quote INTEGER NOT NULL, locked INTEGER NOT NULL, triggered INTEGER NOT NULL,
    prevented INTEGER NOT NULL, strategy_id INTEGER, strategy_type INTEGER, cancel_client_id TEXT NOT NULL,
    PRIMARY KEY (symbol, order_id)
);
CREATE INDEX IF NOT EXISTS orders_of_account ON orders (uid, symbol, order_id);
CREATE INDEX IF NOT EXISTS orders_of_client ON orders (uid, symbol, client_order_id, order_id);
CREATE INDEX IF NOT EXISTS open_orders ON orders (status) WHERE status IN ('NEW', 'PARTIALLY_FILLED');
CREATE TABLE IF NOT EXISTS trades (
    symbol TEXT NOT NULL, trade_id INTEGER NOT NULL, order_id INTEGER NOT NULL, client_order_id TEXT NOT NULL,
    uid INTEGER NOT NULL, side TEXT NOT NULL, price INTEGER NOT NULL, quantity INTEGER NOT NULL,
    quote INTEGER NOT NULL, fee INTEGER NOT NULL, fee_asset TEXT NOT NULL, is_maker INTEGER NOT NULL,
    time INTEGER NOT NULL, booked_at_wall_ms INTEGER NOT NULL,
    PRIMARY KEY (symbol, trade_id)
);
CREATE INDEX IF NOT EXISTS trades_of_account ON trades (uid, symbol, trade_id);
CREATE TABLE IF NOT EXISTS flows (
    uid INTEGER NOT NULL, asset TEXT NOT NULL, amount INTEGER NOT NULL, time INTEGER NOT NULL,
    booked_at_wall_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS crossings (
    number INTEGER PRIMARY KEY, uid INTEGER NOT NULL, asset TEXT NOT NULL, amount INTEGER NOT NULL, fee INTEGER NOT NULL,
    status INTEGER NOT NULL, wallet INTEGER NOT NULL, time INTEGER NOT NULL, completed_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS crossings_of_account ON crossings (uid, time);
"""

WRITE_FACT: Final = "INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)"
WRITE_COUNTER: Final = "INSERT OR REPLACE INTO counters (symbol, order_id, trade_id) VALUES (?, ?, ?)"
WRITE_CLIENT: Final = "INSERT OR REPLACE INTO clients (name, last_ack) VALUES (?, ?)"
REMOVE_CLIENT: Final = "DELETE FROM clients WHERE name = ?"
WRITE_DAY: Final = "INSERT OR REPLACE INTO days (day, state) VALUES (?, ?)"
WRITE_ACCOUNT: Final = """
INSERT OR REPLACE INTO accounts VALUES (:uid, :name, :api_key, :api_secret, :created_at, :trade_count, :update_time)
"""
WRITE_BALANCE: Final = "INSERT OR REPLACE INTO balances (uid, asset, free, locked) VALUES (?, ?, ?, ?)"
WRITE_ORDER: Final = """
INSERT OR REPLACE INTO orders VALUES (
    :symbol, :order_id, :uid, :client_order_id, :side, :type, :time_in_force, :price, :stop_price, :quantity,
    :quote_quantity, :prevention, :status, :time, :update_time, :working_time, :received_at_wall_ms, :executed,
    :executed_quote, :locked, :triggered, :prevented, :strategy_id, :strategy_type, :cancel_client_id
)
"""
WRITE_TRADE: Final = """
INSERT INTO trades VALUES (
    :symbol, :trade_id, :order_id, :client_order_id, :uid, :side, :price, :quantity, :quote, :fee, :fee_asset,
    :is_maker, :time, :booked_at_wall_ms
)
"""
WRITE_FLOW: Final = "INSERT INTO flows VALUES (:uid, :asset, :amount, :time, :booked_at_wall_ms)"
WRITE_CROSSING: Final = """
INSERT OR REPLACE INTO crossings VALUES (:number, :uid, :asset, :amount, :fee, :status, :wallet, :time, :completed_at)
"""

FORGET_ALL: Final = (
    "DELETE FROM orders", "DELETE FROM trades", "DELETE FROM flows", "DELETE FROM crossings", "DELETE FROM balances",
)  # fmt: skip

READ_OPEN_ORDERS: Final = "SELECT * FROM orders WHERE status IN ('NEW', 'PARTIALLY_FILLED') ORDER BY symbol, order_id"
READ_ORDERS_OF_ACCOUNT: Final = "SELECT * FROM orders WHERE uid = ? ORDER BY received_at_wall_ms, symbol, order_id"
READ_ORDER: Final = "SELECT * FROM orders WHERE uid = ? AND symbol = ? AND order_id = ?"
# An id may have been used before: the newest order of that name is meant.
READ_ORDER_OF_CLIENT: Final = (
    "SELECT * FROM orders WHERE uid = ? AND symbol = ? AND client_order_id = ? ORDER BY order_id DESC LIMIT 1"
)
READ_OLDEST_ORDERS: Final = """
SELECT * FROM orders WHERE uid = :uid AND symbol = :symbol AND order_id >= :first_id AND time BETWEEN :start AND :end
ORDER BY order_id LIMIT :limit
"""
READ_NEWEST_ORDERS: Final = """
SELECT * FROM orders WHERE uid = :uid AND symbol = :symbol AND order_id >= :first_id AND time BETWEEN :start AND :end
ORDER BY order_id DESC LIMIT :limit
"""
READ_TRADES_OF_ACCOUNT: Final = "SELECT * FROM trades WHERE uid = ? ORDER BY time, symbol, trade_id"
READ_OLDEST_TRADES: Final = """
SELECT * FROM trades WHERE uid = :uid AND symbol = :symbol AND trade_id >= :first_id AND time BETWEEN :start AND :end
AND (:order_id IS NULL OR order_id = :order_id) ORDER BY trade_id LIMIT :limit
"""
READ_NEWEST_TRADES: Final = """
SELECT * FROM trades WHERE uid = :uid AND symbol = :symbol AND trade_id >= :first_id AND time BETWEEN :start AND :end
AND (:order_id IS NULL OR order_id = :order_id) ORDER BY trade_id DESC LIMIT :limit
"""
READ_WAITING_CROSSINGS: Final = """
SELECT * FROM crossings WHERE CASE WHEN amount > 0 THEN status NOT IN (1, 2) ELSE status NOT IN (1, 3, 5, 6) END ORDER BY number
"""
READ_CROSSINGS: Final = """
SELECT * FROM crossings WHERE uid = :uid AND amount * :sign > 0 AND time BETWEEN :start AND :end
AND (:asset IS NULL OR asset = :asset) AND (:status IS NULL OR status = :status)
ORDER BY time DESC, number DESC LIMIT :limit OFFSET :offset
"""
