#!/usr/bin/env python3
"""Audit a paper account from outside: the venue's own books against the REST API's exports.

Shares no code with the product. Reads the venue's control address (balances, orders, trades, flows) and the API
(pockets, fills, orders, profit and loss, ledger), rebuilds every bot's holdings from the venue's trades alone, and compares:

  A1  every venue trade is one fill of the API and the reverse: price, quantity, fee, fee asset, side, order
  A2  every trade belongs to the bot whose client order id it carries, and no client order id was used twice
  A3  venue balance = sum of all bots + pools, for each asset, to the last unit
  A4  each bot's holdings = its allocations + its trades, for each asset, to the last unit
  A5  each bot's profit and loss = value of its holdings - capital put in, and realised + unrealised add up to it
  A6  bots + pools = the account's equity change net of flows, to the last unit
  A7  every ledger transaction sums to zero for each asset, and the sequence has no gap

Exit code 0 when everything agrees, 1 with a list of differences, 2 when something could not be read.

    python tools/audit.py --api http://127.0.0.1:8000 --control http://127.0.0.1:8021 --token-file token.txt
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

ZERO = Decimal(0)
OURS = {"available", "reserved", "unallocated", "fee_pool", "dust", "in_transit", "suspense", "deficit"}
BOOKED = {"available", "reserved", "deficit"}
PAGE = 500
_SAME_AMOUNTS = (("price", "price"), ("quantity", "qty"), ("quote_quantity", "quoteQty"), ("fee", "commission"))

Holdings = dict[Any, dict[str, Decimal]]


class Unreadable(Exception):
    """Raised when an address does not answer as expected."""


class Source:
    """Where the two sides of the comparison are read."""

    def __init__(self, *, api: str, control: str, token: str) -> None:
        self._api = api.rstrip("/") + "/api/v1/"
        self._control = control.rstrip("/") + "/control/"
        self._token = token

    def api(self, path: str, **query: object) -> Any:
        """Read one answer of the API."""
        return _read(self._api + path, query, {"Authorization": f"Bearer {self._token}"})

    def all(self, path: str, **query: object) -> list[dict[str, Any]]:
        """Read all pages of a list."""
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.api(path, limit=PAGE, **query, **({"cursor": cursor} if cursor else {}))
            rows.extend(page["items"])
            cursor = page.get("next_cursor") or ""
            if not cursor:
                return rows

    def books(self, uid: str) -> dict[str, Any]:
        """Read the venue's own books."""
        answer: dict[str, Any] = _read(f"{self._control}books/{uid}", {}, {})
        return answer


class Audit:
    """The comparison and what it found."""

    def __init__(self) -> None:
        self.differences: list[str] = []
        self.counts: Counter[str] = Counter()

    def equal(self, what: str, ours: object, theirs: object) -> None:
        """Count one comparison and note it when the sides differ."""
        self.counts[what.split(" ", 1)[0]] += 1
        if ours != theirs:
            self.differences.append(f"{what}: API {ours}, venue {theirs}")


def main() -> int:
    """Run the audit and print what it found."""
    arguments = _arguments()
    try:
        token = Path(arguments.token_file).read_text(encoding="utf-8").strip()
        source = Source(api=arguments.api, control=arguments.control, token=token)
        audit, summary = run(source, arguments.account)
    except (Unreadable, OSError, KeyError) as error:
        print(f"audit: cannot read: {error!r}", file=sys.stderr)
        return 2
    result = {"differences": audit.differences, "comparisons": dict(audit.counts), **summary}
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        _print(result)
    return 1 if audit.differences else 0


def run(source: Source, account_id: int | None) -> tuple[Audit, dict[str, Any]]:
    """Compare everything once; the account must be at rest (paused or between two bars)."""
    account = _account(source, account_id)
    books = source.books(account["venue_uid"])
    path = f"accounts/{account['id']}"
    balances = source.api(f"{path}/balances")
    fills = source.all("fills", account=account["id"])
    orders = source.all("orders", account=account["id"])
    ledger = source.all("ledger", account=account["id"])
    profit = source.api("pnl", account=account["id"])
    audit = Audit()
    owners = _owners(audit, orders, books["orders"])
    _trades(audit, fills, books["trades"], owners)
    _assets(audit, balances["pockets"], books["balances"])
    _holdings(audit, balances["pockets"], ledger, books["trades"], owners)
    _profit(audit, profit, balances, quote=account["quote_asset"])
    _ledger(audit, ledger)
    per_bot = Counter(owners.get(trade["clientOrderId"]) for trade in books["trades"])
    summary = {
        "market_time": books["market_time"],
        "venue_trades": len(books["trades"]),
        "venue_orders": len(books["orders"]),
        "fills_per_bot": {str(bot): count for bot, count in sorted(per_bot.items(), key=str)},
        "ledger_transactions": len(ledger),
    }
    return audit, summary


def _account(source: Source, account_id: int | None) -> dict[str, Any]:
    answer = source.api("accounts")
    rows: list[dict[str, Any]] = answer["items"] if isinstance(answer, dict) else answer
    chosen = [row for row in rows if account_id in (None, row["id"])]
    if len(chosen) != 1:
        raise Unreadable(f"{len(chosen)} accounts match; pass --account with one of {[row['id'] for row in rows]}")
    return chosen[0]


def _owners(audit: Audit, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    """A2: find the bot of every client order id; none may have been used twice."""
    used = Counter(order["clientOrderId"] for order in theirs)
    for name, count in used.items():
        audit.equal(f"A2 orders at the venue named {name}", 1, count)
    owners = {order["client_order_id"]: order["bot"] for order in ours}
    for name in used:
        audit.equal(f"A2 owner of {name} is known", name in owners, True)
    return owners


def _trades(audit: Audit, fills: list[dict[str, Any]], trades: list[dict[str, Any]], owners: dict[str, Any]) -> None:
    """A1 and A2: the same trades on both sides, owned by the bot of the order."""
    ours = {(_venue_symbol(fill["symbol"]), int(fill["trade_id"])): fill for fill in fills}
    audit.equal("A1 number of fills", len(fills), len(trades))
    audit.equal("A1 fills that are no duplicates", len(ours), len(fills))
    for trade in trades:
        key = (trade["symbol"], int(trade["id"]))
        fill = ours.get(key)
        if fill is None:
            audit.equal(f"A1 fill {key}", "missing", "present")
            continue
        for ours_name, theirs_name in _SAME_AMOUNTS:
            audit.equal(f"A1 {ours_name} of {key}", Decimal(fill[ours_name]), Decimal(trade[theirs_name]))
        audit.equal(f"A1 fee asset of {key}", fill["fee_asset"], trade["commissionAsset"])
        audit.equal(f"A1 side of {key}", fill["side"].lower(), trade["side"].lower())
        audit.equal(f"A1 order of {key}", fill["client_order_id"], trade["clientOrderId"])
        audit.equal(f"A2 bot of {key}", fill["bot"], owners.get(trade["clientOrderId"]))


def _assets(audit: Audit, pockets: list[dict[str, Any]], balances: dict[str, Any]) -> None:
    """A3: what the venue holds is what bots and pools hold."""
    ours: dict[str, Decimal] = defaultdict(Decimal)
    for pocket in pockets:
        if pocket["kind"] in OURS:
            ours[pocket["asset"]] += Decimal(pocket["balance"])
    theirs = {asset: Decimal(row["free"]) + Decimal(row["locked"]) for asset, row in balances.items()}
    for asset in sorted(ours.keys() | theirs.keys()):
        audit.equal(f"A3 total {asset}", ours.get(asset, ZERO), theirs.get(asset, ZERO))
    for pocket in pockets:
        if pocket["kind"] == "suspense":
            audit.equal(f"A3 unexplained {pocket['asset']}", Decimal(pocket["balance"]), ZERO)


def _holdings(
    audit: Audit,
    pockets: list[dict[str, Any]],
    ledger: list[dict[str, Any]],
    trades: list[dict[str, Any]],
    owners: dict[str, Any],
) -> None:
    """A4: rebuild each bot's holdings from capital put in and the venue's trades."""
    bots = {pocket["book"]: pocket["bot"] for pocket in pockets}
    rebuilt = _capital(ledger, bots)
    for trade in trades:
        holdings = rebuilt[owners.get(trade["clientOrderId"])]
        base, quote = _assets_of(trade)
        sign = 1 if trade["side"].lower() == "buy" else -1
        quantity = Decimal(trade["qty"])
        holdings[base] += sign * quantity
        holdings[quote] -= sign * quantity * Decimal(trade["price"])
        holdings[trade["commissionAsset"]] -= Decimal(trade["commission"])
    ours: Holdings = defaultdict(lambda: defaultdict(Decimal))
    for pocket in pockets:
        if pocket["kind"] in BOOKED:
            ours[pocket["bot"]][pocket["asset"]] += Decimal(pocket["balance"])
    for bot in ours.keys() | rebuilt.keys():
        for asset in sorted(ours[bot].keys() | rebuilt[bot].keys()):
            audit.equal(f"A4 {asset} of {bot}", ours[bot][asset], rebuilt[bot][asset])


def _capital(ledger: list[dict[str, Any]], bots: dict[Any, Any]) -> Holdings:
    """Add up the capital moved into and out of each bot: everything that is no trade and no reservation."""
    capital: Holdings = defaultdict(lambda: defaultdict(Decimal))
    for row in ledger:
        if row["kind"] in {"fill", "reserve", "release"}:
            continue
        for entry in row["entries"]:
            if entry["kind"] in BOOKED and entry["book"] is not None:
                capital[bots[entry["book"]]][entry["asset"]] += Decimal(entry["amount"])
    return capital


def _profit(audit: Audit, profit: dict[str, Any], balances: dict[str, Any], *, quote: str) -> None:
    """A5 and A6: profit and loss adds up per bot and over the account."""
    marks = {symbol.partition("/")[0]: Decimal(price) for symbol, price in balances["marks"].items()}
    held: Holdings = defaultdict(lambda: defaultdict(Decimal))
    for pocket in balances["pockets"]:
        if pocket["kind"] in OURS:
            owner = pocket["bot"] if pocket["kind"] in BOOKED else None
            held[owner][pocket["asset"]] += Decimal(pocket["balance"])
    worth = {
        owner: sum(
            (amount * (Decimal(1) if asset == quote else marks.get(asset, ZERO)) for asset, amount in assets.items()), ZERO
        )
        for owner, assets in held.items()
    }
    total = ZERO
    for bot in profit["bots"]:
        equity, capital = Decimal(bot["equity"]), Decimal(bot["net_contributed"])
        audit.equal(f"A5 equity of {bot['bot']}", equity, worth.get(bot["bot"], ZERO))
        audit.equal(f"A5 profit of {bot['bot']}", Decimal(bot["pnl"]), equity - capital)
        parts = Decimal(bot["realised"]) + Decimal(bot["unrealised"])
        audit.equal(f"A5 realised + unrealised of {bot['bot']}", parts, equity - capital)
        total += Decimal(bot["pnl"])
    account = profit["account"]
    change = Decimal(account["equity"]) - Decimal(account["net_flows"])
    audit.equal("A6 equity of the account", Decimal(account["equity"]), sum(worth.values(), ZERO))
    audit.equal("A6 bots and pools", total + Decimal(account["pools_pnl"]), change)


def _ledger(audit: Audit, ledger: list[dict[str, Any]]) -> None:
    """A7: zero-sum and without gaps."""
    seqs = sorted(int(row["seq"]) for row in ledger)
    audit.equal("A7 sequence", seqs, list(range(1, len(seqs) + 1)))
    for row in ledger:
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for entry in row["entries"]:
            sums[entry["asset"]] += Decimal(entry["amount"])
        audit.equal(f"A7 sum of transaction {row['seq']}", {asset for asset, total in sums.items() if total}, set())


def _venue_symbol(symbol: str) -> str:
    return symbol.replace("/", "")


def _assets_of(trade: dict[str, Any]) -> tuple[str, str]:
    symbol = str(trade["symbol"])
    for quote in ("USDT", "USDC", "FDUSD", "BTC", "BNB", "EUR"):
        if symbol.endswith(quote) and symbol != quote:
            return symbol.removesuffix(quote), quote
    raise Unreadable(f"symbol {symbol}")


def _read(address: str, query: dict[str, Any], headers: dict[str, str]) -> Any:
    parts = {name: value for name, value in query.items() if value is not None}
    if parts:
        address += "?" + urllib.parse.urlencode(parts)
    if not address.startswith(("http://", "https://")):
        raise Unreadable(f"{address} is no http address")
    request = urllib.request.Request(address, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise Unreadable(f"{address}: {error.code} {error.read()[:300]!r}") from error
    except ValueError as error:
        raise Unreadable(f"{address}: {error}") from error


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--api", default="http://127.0.0.1:8000")
    parser.add_argument("--control", default="http://127.0.0.1:8021")
    parser.add_argument("--token-file", required=True, help="file with an API token that may read")
    parser.add_argument("--account", type=int, help="id of the account, when there are several")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _print(result: dict[str, Any]) -> None:
    for name, value in result.items():
        if name != "differences":
            print(f"{name}: {value}")
    for difference in result["differences"][:50]:
        print(f"DIFFERENT {difference}")
    print(
        "audit:", f"{len(result['differences'])} differences" if result["differences"] else "everything agrees to the last unit"
    )


if __name__ == "__main__":
    sys.exit(main())
