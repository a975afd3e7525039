"""Faults that change the exchange itself: money, orders of a person, filters, fees, the great reset."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Final

from venue import outside
from venue.accounts import Account
from venue.amounts import UNIT, parse, parse_rate, parse_signed
from venue.crossings import FUNDING, SPOT, knows
from venue.errors import ApiError
from venue.faults.book import Armed, Faults, Moment
from venue.faults.catalogue import MATCHING, WORLD
from venue.faults.conditions import Conditions
from venue.faults.rules import Rule, UnusableFaults, refuse
from venue.listings import Listing
from venue.matching.engine import Engine
from venue.matching.fees import Rates
from venue.orders import Order, OrderRequest

_COUNTS: Final = {"max_orders", "max_algo_orders"}


class World:
    """Carries out what a fault does to the exchange. Needs no socket: a simulation uses it as it is."""

    def __init__(
        self,
        engine: Engine,
        faults: Faults,
        conditions: Conditions,
        *,
        keep: Callable[[str, Any], None],
        reset: Callable[[dict[str, int]], None],
    ) -> None:
        """Work on an engine. `keep` has a change survive a restart, `reset` replaces all orders and balances."""
        self._engine = engine
        self._faults = faults
        self._conditions = conditions
        self._keep = keep
        self._reset = reset
        self._human_orders = 0

    def check(self, rule: Rule) -> None:
        """Refuse a rule about a symbol that is not listed, or about impossible filters."""
        symbol = rule.words.get("symbol")
        if symbol is not None and symbol not in self._engine.books:
            raise refuse(rule, f"{symbol} is not listed here: write one of {', '.join(sorted(self._engine.books))}")
        if rule.action == "filters":
            try:
                _listed(self._engine.books[rule.words["symbol"]].listing, rule.words)
            except UnusableFaults as error:
                raise refuse(rule, str(error)) from None

    def settle_hooks(self) -> None:
        """Have matching ask for shares only while there is a rule about them."""
        self._engine.share = self._share if self._faults.on_matching else None

    def act_due(self) -> None:
        """Do what is due by time alone."""
        for item in self._faults.due():
            self.act(item)

    def act_on(self, moment: Moment) -> None:
        """Do what waits for this request or event."""
        for item in self._faults.ask(WORLD, moment, concerns=lambda item: bool(item.rule.endpoints or item.rule.match)):
            self.act(item)

    def act(self, item: Armed) -> None:
        """Carry out one fault; what the exchange itself refuses is logged as such."""
        try:
            _ACTIONS[item.rule.action](self, item.rule.words)
        except (ApiError, UnusableFaults) as error:
            self._faults.note_failure(item, str(error))

    def account(self, wanted: Any) -> Account:
        """Find an account by uid or name."""
        for account in self._engine.accounts.values():
            if wanted in (account.uid, str(account.uid), account.name):
                return account
        raise UnusableFaults(f"no account is called {wanted}")

    def _share(self, order: Order, quantity: int) -> int:
        moment = Moment(symbol=order.symbol, client_id=order.client_order_id, uid=order.uid)
        for item in self._faults.ask(MATCHING, moment):
            quantity = quantity * parse(item.rule.words["ratio"]) // UNIT
        return quantity

    def _skew(self, words: dict[str, Any]) -> None:
        self._conditions.skew_ms = words["ms"]

    def _stream_terms(self, words: dict[str, Any]) -> None:
        for name, value in words.items():
            setattr(self._conditions, name, value)

    def _flow(self, words: dict[str, Any]) -> None:
        """Move money: a deposit or withdrawal that is through at once, or silently what no stream and no history tells of."""
        account, asset, amount = self.account(words["account"]), words["asset"], parse_signed(words["amount"])
        wall_ms = self._faults.wall_ms()
        if words.get("silent", False):
            outside.move(self._engine, account, asset, amount, wall_ms=wall_ms, is_silent=True)
        else:
            outside.cross(self._engine, account, asset, amount, wall_ms=wall_ms, status=1 if amount > 0 else 6)

    def _crossing(self, words: dict[str, Any]) -> None:
        amount, fee = parse_signed(words["amount"]), parse_signed(words.get("fee", "0"))
        if not amount or not knows(amount, words["status"]) or fee < 0 or (fee and fee >= -amount):
            raise UnusableFaults(f"there is no crossing of {words['amount']} with status {words['status']} and this fee")
        outside.cross(
            self._engine,
            self.account(words["account"]),
            words["asset"],
            amount,
            wall_ms=self._faults.wall_ms(),
            status=words["status"],
            fee=fee,
            wallet=FUNDING if words.get("wallet") == "funding" else SPOT,
        )

    def _settle(self, words: dict[str, Any]) -> None:
        account, status = self.account(words["account"]), words["status"]
        waiting = [row for row in self._engine.crossings.waiting.values() if row.uid == account.uid]
        if not waiting or not all(knows(row.amount, status) for row in waiting):
            raise UnusableFaults(f"nothing of {account.name} waits that could have status {status}")
        outside.settle(self._engine, account, status=status, wall_ms=self._faults.wall_ms())

    def _lock(self, words: dict[str, Any]) -> None:
        outside.lock(self._engine, self.account(words["account"]), words["asset"], parse_signed(words["amount"]))

    def _human_order(self, words: dict[str, Any]) -> None:
        self._human_orders += 1
        request = OrderRequest(
            symbol=words["symbol"],
            side=words["side"],
            type=words.get("type", "MARKET"),
            client_order_id=f"web_{self._engine.now}_{self._human_orders}",
            quantity=parse_signed(words["quantity"]),
            price=parse_signed(words.get("price", "0")),
        )
        self._engine.place(self.account(words["account"]), request)

    def _human_cancel(self, words: dict[str, Any]) -> None:
        account = self.account(words["account"])
        for symbol in sorted({order.symbol for order in account.open_orders.values()}):
            if words.get("symbol") in (None, symbol):
                self._engine.cancel_all(account, symbol, new_client_id=f"web_{self._engine.now}")

    def _end_order(self, words: dict[str, Any]) -> None:
        account = self.account(words["account"])
        for order in list(account.open_orders.values()):
            if words.get("symbol") in (None, order.symbol):
                self._engine.end_order(order, words["status"])

    def _filters(self, words: dict[str, Any]) -> None:
        book = self._engine.books[words["symbol"]]
        book.relist(_listed(book.listing, words))
        self._keep(f"listing:{words['symbol']}", asdict(book.listing))

    def _halt(self, words: dict[str, Any]) -> None:
        self._halted(words["symbol"], is_halted=True)

    def _resume(self, words: dict[str, Any]) -> None:
        self._halted(words["symbol"], is_halted=False)

    def _delist(self, words: dict[str, Any]) -> None:
        symbol = words["symbol"]
        for account in self._engine.accounts.values():
            for order in list(account.open_orders.values()):
                if order.symbol == symbol:
                    self._engine.end_order(order, "EXPIRED")
        self._engine.books[symbol].is_delisted = True
        self._halted(symbol, is_halted=True)

    def _halted(self, symbol: str, *, is_halted: bool) -> None:
        book = self._engine.books[symbol]
        book.is_halted = is_halted
        self._keep(f"status:{symbol}", [is_halted, book.is_delisted])

    def _fees(self, words: dict[str, Any]) -> None:
        account = self.account(words["account"]) if "account" in words else None
        rates = self._engine.tariff.rates(account)
        maker = parse_rate(words["maker"]) if "maker" in words else rates.maker_fee_ppm
        taker = parse_rate(words["taker"]) if "taker" in words else rates.taker_fee_ppm
        if account is None:
            self._engine.tariff.house = Rates(maker, taker)
            self._keep("fees", [maker, taker])
            return
        account.fee_rates = (maker, taker)
        self._engine.journal.settings(account)

    def _testnet_reset(self, words: dict[str, Any]) -> None:
        self._reset({asset: parse_signed(amount) for asset, amount in words.get("balances", {}).items()})


def restore_terms(engine: Engine, facts: dict[str, str]) -> None:
    """Put back what faults changed for good before a restart: filters, halts, fees, settings of accounts."""
    for name, written in facts.items():
        kind, _, subject = name.partition(":")
        if kind == "fees":
            engine.tariff.house = Rates(*json.loads(written))
        elif kind == "account" and int(subject) in engine.accounts:
            engine.accounts[int(subject)].restore_settings(json.loads(written))
        elif kind == "listing" and subject in engine.books:
            engine.books[subject].relist(Listing(**json.loads(written)))
        elif kind == "status" and subject in engine.books:
            engine.books[subject].is_halted, engine.books[subject].is_delisted = json.loads(written)


def _listed(listing: Listing, words: dict[str, Any]) -> Listing:
    """Return the filters with what a rule changes."""
    changes: dict[str, Any] = {
        name: value if name in _COUNTS else parse_signed(value) for name, value in words.items() if name != "symbol"
    }
    changed = replace(listing, **changes)
    if min(changed.tick, changed.step) <= 0 or changed.tick * changed.step % UNIT:
        raise UnusableFaults("tick and step must be above 0, and tick times step a multiple of 0.00000001")
    return changed


_ACTIONS: Final[dict[str, Callable[[World, dict[str, Any]], None]]] = {
    "skew": World._skew, "stream_terms": World._stream_terms, "flow": World._flow, "crossing": World._crossing,
    "settle": World._settle, "lock": World._lock,
    "human_order": World._human_order, "human_cancel": World._human_cancel, "end_order": World._end_order,
    "filters": World._filters, "halt": World._halt, "resume": World._resume, "delist": World._delist, "fees": World._fees,
    "testnet_reset": World._testnet_reset,
}  # fmt: skip
