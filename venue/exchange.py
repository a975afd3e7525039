"""The exchange as a whole: engine, clock, store and listeners, wired together."""

import hashlib
import json
import secrets
import string
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from venue import outside
from venue.accounts import Account
from venue.amounts import text
from venue.clock import POSITION, MarketClock, Position
from venue.config import Options
from venue.depths import Depths
from venue.faults.book import Armed, Faults
from venue.faults.conditions import Conditions
from venue.faults.rules import Rule
from venue.faults.streams import StreamFaults
from venue.faults.world import World, restore_terms
from venue.hub import Hub
from venue.journal import Journal
from venue.keys import ApiKey, first_key, restored
from venue.limits import Limits
from venue.market.live import LiveMarket, read_upstream
from venue.market.replay import ReplayMarket
from venue.market.source import MarketSource
from venue.market.synthetic import SyntheticMarket
from venue.matching.engine import Engine
from venue.mirror import MirrorClock, MirrorPacer
from venue.orders import Order, Trade
from venue.pacing import Pace, Pacer
from venue.payloads import order_row, trade_row
from venue.store import Committer, Store

STORE_FILE: Final = "venue.sqlite3"
_KEY_LENGTH: Final = 64
_KEY_ALPHABET: Final = string.ascii_letters + string.digits
_UID_SPAN: Final = 900_000_000
_UID_BASE: Final = 100_000_000


class Exchange:
    """Everything that answers requests."""

    def __init__(self, options: Options) -> None:
        """Open the market's store and take up where it was left."""
        self.options = options
        self._days: dict[int, str] = {}
        self.source = _source(options)
        self.epoch = hashlib.sha256(self.source.identity.encode()).hexdigest()[:16]
        self.store = Store(options.data_dir / self.epoch / STORE_FILE)
        self.source = self._with_checkpoints(self.source)
        self.hub = Hub()
        self.depths = Depths()
        self.limits = Limits(options.weight_limit, options.order_limit)
        self.engine = Engine(self.source.listings, options.terms, wall_ms=wall_ms)
        self.conditions = Conditions()
        self.faults = Faults(wall_ms=wall_ms, market_time=lambda: self.engine.now, log=True)
        self.world = World(self.engine, self.faults, self.conditions, keep=self._keep, reset=self._reset)
        self.hub.faults = StreamFaults(self.faults, self.world)
        facts = self.store.facts()
        self._restore_engine()
        restore_terms(self.engine, facts)
        position = Position.decode(facts[POSITION]) if POSITION in facts else None
        self.clock = self._clock(position)
        self.pace = _pace(options, facts)
        self.store.write_now(self._take_journal())
        self.committer = Committer(self.store, self._take_journal, self.hub.publish)
        pacer = MirrorPacer if isinstance(self.clock, MirrorClock) else Pacer
        self.pacer = pacer(self.clock, self.committer, self.pace, self.store.clients())
        self.by_key = restored(facts, self.engine.accounts)
        self.transfers: list[dict[str, Any]] = json.loads(facts.get("transfers", "[]"))
        self.arm(options.faults, seed=options.fault_seed)

    def protocol_ms(self) -> int:
        """Return the time that signed requests are measured against."""
        return wall_ms() + self.conditions.skew_ms

    def arm(self, rules: Sequence[Rule], *, seed: int | None) -> list[Armed]:
        """Arm faults, all or none; what is due at once happens at once."""
        for rule in rules:
            self.world.check(rule)
        if seed is not None:
            self.faults.sow(seed)
        fresh = self.faults.arm(rules)
        self.world.settle_hooks()
        self._meet_faults()
        return fresh

    def disarm(self, number: int | None) -> int:
        """Forget one fault or all of them."""
        gone = self.faults.disarm(number)
        self.world.settle_hooks()
        return gone

    async def durable(self) -> None:
        """Wait until everything that has happened so far is on disk."""
        await self.committer.durable()

    def open_account(self, name: str, balances: dict[str, int], *, parent: int = 0) -> Account:
        """Open an account, or return the one of that name as it is."""
        for account in self.engine.accounts.values():
            if account.name == name:
                return account
        digest = hashlib.sha256(f"{self.epoch}|{name}".encode()).digest()
        account = Account(
            uid=_UID_BASE + int.from_bytes(digest[:8]) % _UID_SPAN,
            name=name,
            api_key=_token(),
            api_secret=_token(),
            created_at=self.engine.now,
            parent=parent,
        )
        self.engine.accounts[account.uid] = account
        self.by_key[account.api_key] = first_key(account)
        self.engine.journal.settings(account)
        self.engine.journal.accounts[account.uid] = account
        for asset, amount in balances.items():
            self.move_outside(account, asset, amount)
        return account

    def make_key(self, account: Account, rights: tuple[str, ...], addresses: tuple[str, ...]) -> ApiKey:
        """Make another key of an account."""
        made = ApiKey(_token(), _token(), account, rights, addresses, self.engine.now)
        self.by_key[made.key] = made
        self.engine.journal.facts[f"key:{made.key}"] = made.written()
        return made

    def revoke_key(self, key: str) -> bool:
        """Have a key be good for nothing from now on; answer whether it was good for anything."""
        found = self.by_key.pop(key, None)
        self._keep(f"key:{key}", None)
        return found is not None

    def note_transfer(self, row: dict[str, Any]) -> int:
        """Number a transfer and remember it."""
        number = len(self.transfers) + 1
        self.transfers.append({"tranId": number} | row)
        self._keep("transfers", self.transfers)
        return number

    def move_outside(self, account: Account, asset: str, amount: int) -> None:
        """Book a deposit, or a withdrawal when the amount is below zero, that is through at once."""
        if amount:
            outside.cross(self.engine, account, asset, amount, wall_ms=wall_ms(), status=1 if amount > 0 else 6)

    def keep_pace(self) -> None:
        """Have a change of speed or pause survive a restart with the same command line."""
        facts = self.engine.journal.facts
        facts["speed_asked"] = repr(self.options.speed)
        facts["speed"], facts["paused"] = repr(self.pace.speed), str(int(self.pace.is_paused))

    def clock_state(self) -> dict[str, Any]:
        """Describe the market and where it is."""
        hold_time = self.pacer.hold_time
        return {
            "market_time": self.engine.now,
            "held": hold_time is not None,
            "hold_time": hold_time,
            "speed": self.pace.speed,
            "paused": self.pace.is_paused,
            "base_interval_ms": self.source.base_interval_ms,
            "market": self.source.kind,
            "label": self.source.label,
            "epoch": self.epoch,
            "start_time": self.source.start_time,
            "end_time": self.source.end_time,
            "finished": self.clock.position.is_finished,
            "symbols": sorted(self.engine.books),
            "taker_fee_ppm": self.engine.tariff.house.taker_fee_ppm,
            "maker_fee_ppm": self.engine.tariff.house.maker_fee_ppm,
            "half_spread_ppm": self.engine.terms.half_spread_ppm,
            "clients": self.pacer.clients,
            "trades": {str(uid): account.trade_count for uid, account in self.engine.accounts.items()},
        }

    def dump(self, account: Account) -> dict[str, Any]:
        """Return everything the exchange holds about an account."""
        return {
            "uid": account.uid,
            "name": account.name,
            "market_time": self.engine.now,
            "trade_count": account.trade_count,
            "balances": {
                asset: {"free": text(balance.free), "locked": text(balance.locked)}
                for asset, balance in sorted(account.balances.items())
            },
            "orders": [_order_dump(order) for order in self.store.orders_of(account.uid)],
            "trades": [_trade_dump(trade) for trade in self.store.trades_of(account.uid)],
            "flows": [
                {
                    "asset": flow.asset,
                    "amount": text(flow.amount),
                    "time": flow.time,
                    "booked_at_wall_ms": flow.booked_at_wall_ms,
                }
                for flow in self.store.flows_of(account.uid)
            ],
        }

    def close(self) -> None:
        """Write what is left and close the store."""
        self.store.write_now(self._take_journal())
        self.store.close()

    def _clock(self, position: Position | None) -> MarketClock:
        if isinstance(self.source, LiveMarket):
            return MirrorClock(self.source, self.engine, position, wanted=self.hub.is_wanted, after_step=self._meet_faults)
        return MarketClock(self.source, self.engine, position, wanted=self.hub.is_wanted, after_step=self._meet_faults)

    def _meet_faults(self) -> None:
        if self.faults.on_world:
            self.world.act_due()

    def _keep(self, name: str, value: Any) -> None:
        self.engine.journal.facts[name] = json.dumps(value)

    def _reset(self, balances: dict[str, int]) -> None:
        self.engine.reset(balances)
        self.hub.cut_accounts()

    def _take_journal(self) -> Journal:
        journal = self.engine.take_journal()
        if self._days:
            journal.days.update(self._days)
            self._days.clear()
        return journal

    def _restore_engine(self) -> None:
        for account in self.store.accounts():
            self.engine.accounts[account.uid] = account
        for symbol, (order_id, trade_id) in self.store.counters().items():
            self.engine.last_order_id[symbol] = order_id
            self.engine.tape.last_id[symbol] = trade_id
        self.engine.restore(self.store.open_orders())
        self.engine.crossings.last = self.store.last_crossing()
        for crossing in self.store.waiting_crossings():
            self.engine.crossings.note(crossing)

    def _with_checkpoints(self, source: MarketSource) -> MarketSource:
        if not isinstance(source, SyntheticMarket):
            return source
        return SyntheticMarket(
            self.options.seed,
            self.options.symbols,
            basis_ppm=self.options.basis_ppm,
            checkpoints=self.store.days(),
            keep=self._days.__setitem__,
        )


def wall_ms() -> int:
    """Return protocol time: signatures, windows and latency are measured with it, never prices."""
    return time.time_ns() // 1_000_000


def _source(options: Options) -> MarketSource:
    if options.market == "synthetic":
        return SyntheticMarket(options.seed, options.symbols, basis_ppm=options.basis_ppm)
    if options.market == "live":
        return LiveMarket(read_upstream(options.upstream or Path()), options.symbols)
    return ReplayMarket(options.data or Path(), start_time=options.start_time, symbols=options.symbols, exchange=options.exchange)


def _pace(options: Options, facts: dict[str, str]) -> Pace:
    if facts.get("speed_asked") == repr(options.speed):
        return Pace(float(facts["speed"]), facts["paused"] == "1", waits_for_client=options.wait_for_client)
    return Pace(options.speed, options.paused, waits_for_client=options.wait_for_client)


def _token() -> str:
    return "".join(secrets.choice(_KEY_ALPHABET) for _ in range(_KEY_LENGTH))


def _order_dump(order: Order) -> dict[str, Any]:
    return order_row(order) | {"locked": text(order.locked), "received_at_wall_ms": order.received_at_wall_ms}


def _trade_dump(trade: Trade) -> dict[str, Any]:
    facts = {"clientOrderId": trade.client_order_id, "side": trade.side, "booked_at_wall_ms": trade.booked_at_wall_ms}
    return trade_row(trade) | facts
