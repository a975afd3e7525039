"""The accounts of the stand-in for Coinbase: keys that are checked, orders that trade, pages, trouble on demand."""

from __future__ import annotations

import base64
import json
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

FEE = Decimal("0.006")
STEP, TICK, LEAST = Decimal("0.00000001"), Decimal("0.01"), Decimal("0.0001")
SIZES = {"base_size", "quote_size"}
LIMIT = {"base_size", "limit_price"}
KINDS = {
    "market_market_ioc": SIZES,
    "limit_limit_gtc": LIMIT | {"post_only"},
    "limit_limit_fok": LIMIT,
    "sor_limit_ioc": LIMIT,
    "stop_limit_stop_limit_gtc": LIMIT | {"stop_price", "stop_direction"},
}


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, error: str, message: str = "") -> None:
        super().__init__(error)
        self.status, self.error, self.message = status, error, message or error


@dataclass
class Account:
    """One portfolio with its key."""

    name: str
    key: str
    secret: str
    public_key: Ed25519PublicKey
    free: dict[str, Decimal]
    hold: dict[str, Decimal] = field(default_factory=dict)
    rights: dict[str, bool] = field(default_factory=lambda: {"can_view": True, "can_trade": True, "can_transfer": False})
    # By the exchange's name, in the order they came.
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    fills: list[dict[str, Any]] = field(default_factory=list)

    def move(self, asset: str, free: Decimal, hold: Decimal = Decimal(0)) -> None:
        self.free[asset] = self.free.get(asset, Decimal(0)) + free
        self.hold[asset] = self.hold.get(asset, Decimal(0)) + hold


@dataclass
class Accounts:
    """All accounts, and what goes wrong next."""

    product: str
    prices: Callable[[], tuple[Decimal, Decimal]]
    tell: Callable[[str, dict[str, Any]], None]
    known: dict[str, Account] = field(default_factory=dict)
    # The next order is taken and its answer lost, or it is answered with a status and not taken.
    answer_lost: bool = False
    order_status: int = 0
    page_rows_max: int = 3

    def open(self, name: str, money: Decimal) -> Account:
        """Make an account whose key is good for a signature of the kind that ccxt makes."""
        private = Ed25519PrivateKey.generate()
        seed = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        secret = base64.b64encode(seed + public).decode()
        account = Account(name, str(uuid.uuid4()), secret, private.public_key(), {self.product.split("-")[1]: money})
        self.known[account.key] = account
        return account

    def signed(self, token: str, uri: str = "") -> Account:
        """Find whose signature this is; refuse an old one, one of another request, and one of nobody's."""
        try:
            head, body, signature = token.split(".")
            claims = json.loads(_decoded(body))
            account = self.known[json.loads(_decoded(head))["kid"]]
            account.public_key.verify(_decoded(signature), f"{head}.{body}".encode())
        except (ValueError, KeyError, InvalidSignature):
            raise Refused(401, "unauthorized") from None
        if not claims["nbf"] - 5 <= time.time() <= claims["exp"] or (uri and claims["uris"] != [uri]):
            raise Refused(401, "unauthorized")
        return account

    async def answer(self, request: web.Request, path: str) -> web.StreamResponse:
        """Answer a signed request."""
        uri = f"{request.method} {request.scheme}://{request.host}{request.path}".replace("https://", "")
        account = self.signed(request.headers.get("Authorization", "").removeprefix("Bearer "), uri)
        match request.method, path:
            case "GET", "accounts":
                return self._page(request, "accounts", _balances(account))
            case "GET", "key_permissions":
                return web.json_response(account.rights | {"portfolio_uuid": account.name, "portfolio_type": "DEFAULT"})
            case "GET", "orders/historical/batch":
                return self._page(request, "orders", _chosen(request, list(account.orders.values())[::-1]))
            case "GET", "orders/historical/fills":
                begin = datetime.fromisoformat(request.query.get("start_sequence_timestamp", "1970-01-01T00:00:00Z"))
                rows = [row for row in account.fills[::-1] if datetime.fromisoformat(row["trade_time"]) >= begin]
                return self._page(request, "fills", _chosen(request, rows))
            case "POST", "orders":
                return await self._order(request, account)
            case "POST", "orders/batch_cancel":
                numbers = (await request.json())["order_ids"]
                return web.json_response({"results": [self._cancel(account, number) for number in numbers]})
        number = path.removeprefix("orders/historical/")
        if number not in account.orders:
            raise Refused(404, "NOT_FOUND", "order with this orderID was not found")
        return web.json_response({"order": account.orders[number]})

    async def _order(self, request: web.Request, account: Account) -> web.StreamResponse:
        if self.order_status:
            status, self.order_status = self.order_status, 0
            raise Refused(status, "INTERNAL" if status >= 500 else "RESOURCE_EXHAUSTED")
        asked = await request.json()
        if set(asked) != {"client_order_id", "product_id", "side", "order_configuration"}:
            raise Refused(400, "INVALID_ARGUMENT", f"unknown fields in {sorted(asked)}")
        [(kind, terms)] = asked["order_configuration"].items()
        if kind not in KINDS or not set(terms) <= KINDS[kind]:
            raise Refused(400, "INVALID_ARGUMENT", f"unknown order {kind} {sorted(terms)}")
        known = [row for row in account.orders.values() if row["client_order_id"] == asked["client_order_id"]]
        reason = "" if known else self._obstacle(account, asked, kind, terms)
        if reason:
            said = {"error": reason, "message": "", "error_details": "", "new_order_failure_reason": reason}
            return web.json_response(
                {"success": False, "error_response": said, "order_configuration": asked["order_configuration"]}
            )
        row = known[0] if known else self._make(account, asked, kind, terms)
        if self.answer_lost:
            self.answer_lost = False
            assert request.transport is not None
            request.transport.close()
        made = {name: row[name] for name in ("order_id", "product_id", "side", "client_order_id")}
        return web.json_response({"success": True, "success_response": made, "order_configuration": row["order_configuration"]})

    def _obstacle(self, account: Account, asked: dict[str, Any], kind: str, terms: dict[str, str]) -> str:
        size, (bid, ask) = Decimal(terms["base_size"]), self.prices()
        price = Decimal(terms.get("limit_price", str(ask)))
        base, quote = self.product.split("-")
        if asked["product_id"] != self.product:
            return "INVALID_PRODUCT_ID"
        if size % STEP or price % TICK:
            return "INVALID_SIZE_PRECISION" if size % STEP else "INVALID_PRICE_PRECISION"
        if size < LEAST:
            return "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL"
        is_buy = asked["side"] == "BUY"
        needed, asset = (size * price * (1 + FEE), quote) if is_buy else (size, base)
        if account.free.get(asset, Decimal(0)) < needed:
            return "INSUFFICIENT_FUND"
        meets = price >= ask if is_buy else price <= bid
        return "INVALID_LIMIT_PRICE_POST_ONLY" if terms.get("post_only") and kind == "limit_limit_gtc" and meets else ""

    def _make(self, account: Account, asked: dict[str, Any], kind: str, terms: dict[str, str]) -> dict[str, Any]:
        number = str(uuid.uuid4())
        row = asked | {"order_id": number, "status": "OPEN", "filled_size": "0", "filled_value": "0", "created_time": _now()}
        row |= {"average_filled_price": "0", "total_fees": "0", "number_of_fills": "0", "product_type": "SPOT", "settled": False}
        account.orders[number] = row
        size, (bid, ask), is_buy = Decimal(terms["base_size"]), self.prices(), asked["side"] == "BUY"
        price = ask if is_buy else bid
        limit = Decimal(terms.get("limit_price", str(price)))
        if kind != "stop_limit_stop_limit_gtc" and (limit >= ask if is_buy else limit <= bid):
            # As two trades of one moment, so that their names alone tell them apart.
            for part in (size / 2 // STEP * STEP, size - size / 2 // STEP * STEP):
                self._fill(account, row, part, price)
        elif kind in ("sor_limit_ioc", "limit_limit_fok"):
            row["status"] = "CANCELLED"
        else:
            asset, held = (self.product.split("-")[1], size * limit * (1 + FEE)) if is_buy else (self.product.split("-")[0], size)
            account.move(asset, -held, held)
            row["held"] = (asset, str(held))
        self._tell(account, row)
        return row

    def _fill(self, account: Account, row: dict[str, Any], size: Decimal, price: Decimal) -> None:
        base, quote = self.product.split("-")
        value, fee = size * price, size * price * FEE
        sign = 1 if row["side"] == "BUY" else -1
        account.move(base, sign * size)
        account.move(quote, -sign * value - fee)
        row["filled_size"] = str(Decimal(row["filled_size"]) + size)
        row["filled_value"] = str(Decimal(row["filled_value"]) + value)
        row["total_fees"] = str(Decimal(row["total_fees"]) + fee)
        [terms] = row["order_configuration"].values()
        row["status"] = "FILLED" if Decimal(row["filled_size"]) == Decimal(terms["base_size"]) else "OPEN"
        row["last_fill_time"] = _now()
        names = {"entry_id": secrets.token_hex(32), "trade_id": str(uuid.uuid4()), "order_id": row["order_id"]}
        facts = {"price": str(price), "size": str(size), "commission": str(fee), "size_in_quote": False, "side": row["side"]}
        account.fills.append(
            names | facts | {"trade_time": row["last_fill_time"], "sequence_timestamp": _now(), "trade_type": "FILL"}
            | {"product_id": row["product_id"], "liquidity_indicator": "TAKER"}
        )  # fmt: skip

    def _cancel(self, account: Account, number: str) -> dict[str, Any]:
        row = account.orders.get(number)
        if row is None or row["status"] != "OPEN":
            reason = "UNKNOWN_CANCEL_ORDER" if row is None else "ORDER_IS_FULLY_FILLED"
            return {"success": False, "failure_reason": reason, "order_id": number}
        row["status"] = "CANCELLED"
        asset, held = row.pop("held")
        account.move(asset, Decimal(held), -Decimal(held))
        self._tell(account, row)
        return {"success": True, "failure_reason": "UNKNOWN_CANCEL_FAILURE_REASON", "order_id": number}

    def _tell(self, account: Account, row: dict[str, Any]) -> None:
        [terms] = row["order_configuration"].values()
        left = Decimal(terms["base_size"]) - Decimal(row["filled_size"]) if row["status"] == "OPEN" else Decimal(0)
        order = {name: row[name] for name in ("order_id", "client_order_id", "product_id", "status", "total_fees")}
        order |= {"cumulative_quantity": row["filled_size"], "leaves_quantity": str(left), "order_side": row["side"]}
        self.tell(account.key, {"type": "update", "orders": [order]})

    def _page(self, request: web.Request, content: str, rows: list[dict[str, Any]]) -> web.Response:
        begin = int(request.query.get("cursor") or 0)
        end = begin + min(int(request.query["limit"]), self.page_rows_max)
        has_next = end < len(rows)
        return web.json_response({content: rows[begin:end], "cursor": str(end) if has_next else "", "has_next": has_next})


def _chosen(request: web.Request, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    wanted = {"product_id": "product_ids", "order_id": "order_ids", "status": "order_status"}
    for name, word in wanted.items():
        if word in request.query:
            rows = [row for row in rows if row[name] in request.query.getall(word)]
    return rows


def _balances(account: Account) -> list[dict[str, Any]]:
    return [
        {"currency": asset, "available_balance": {"value": str(free), "currency": asset}, "type": "ACCOUNT_TYPE_CRYPTO"}
        | {"hold": {"value": str(account.hold.get(asset, Decimal(0))), "currency": asset}, "uuid": f"{account.name}-{asset}"}
        | {"retail_portfolio_id": account.name}
        for asset, free in sorted(account.free.items())
    ]


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _now() -> str:
    now = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(now // 10**9)) + f"{now // 1000 % 10**6:06}Z"
