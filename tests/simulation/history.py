"""One history: a seed decides what bots ask for, what the market does, and what goes wrong."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from random import Random
from typing import Any, Final, cast

import structlog

from tests.simulation.clock import BEGIN, VirtualLoop
from tests.simulation.exchange import Pair
from tests.simulation.faults import Faults
from tests.simulation.invariants import LIVE, Checker, Violation
from tests.simulation.shells import MemoryShell, Shell
from tests.simulation.world import World, crash_point, crash_points_are_ours
from trading.desk.memory import Tables
from trading.proposals import Proposal, ProposalKind

D = Decimal
STEPS: Final = 60
SETTLE_SECONDS: Final = 700.0
# So long after the last fault a person has looked at what is in suspense; by then everything is visible.
EXPLAIN_SECONDS: Final = 40.0
RECONCILE_SECONDS: Final = 35.0
BOOKS: Final = (1, 2, 3)
_MOVING: Final = ("ready", "sending", "unknown", "cancelling")


@dataclass(slots=True)
class Result:
    """What a history came to."""

    seed: int
    journal_hash: str
    faults: Counter[str]
    crashes: Counter[str]
    passed: Counter[str]
    orders: int
    fills: int
    traders: int
    statuses: Counter[str] = field(default_factory=Counter)


class History:
    """A world and the driver that steps through it."""

    def __init__(self, seed: int, *, steps: int = STEPS, shell: Callable[[], Shell] | None = None,
                 allowed: frozenset[str] | None = None) -> None:  # fmt: skip
        self.seed = seed
        self.steps = steps
        random = Random(seed)
        self.loop = VirtualLoop()
        # What tasks die of is looked at after every step.
        self.loop.set_exception_handler(lambda _loop, _context: None)
        store = shell() if shell is not None else MemoryShell(crash_point, now=BEGIN)
        self.world = World(self.loop, store, random, Faults(random, seed=seed, allowed=allowed))
        self.checker = Checker(self.world)
        self._random = random
        self._legs = 0
        self._kill_until = -1

    def run(self) -> Result:
        """Live through it; raise Violation at the first broken invariant."""
        with crash_points_are_ours(), quiet():
            task = self.loop.create_task(self._run())
            try:
                self.loop.run_until_complete(task)
            finally:
                self._end()
        return self.result()

    def result(self) -> Result:
        """Sum up."""
        tables, faults = self.world.shell.tables(), self.world.faults
        return Result(
            seed=self.seed, journal_hash=tables.account.ledger_hash, faults=faults.fired, crashes=faults.crashed_at,
            passed=self.world.passed, orders=len(tables.orders), fills=len(tables.fills), traders=len(self.world.traders),
            statuses=Counter(row.status for row in tables.orders.values()),
        )  # fmt: skip

    async def _run(self) -> None:
        self.world.start_trader()
        supervisor = self.loop.create_task(self._supervise())
        self.checker.check_now()
        for step in range(self.steps):
            await self._step(step)
            await asyncio.sleep(self._pause())
            self._check_alive(supervisor)
            if step % self.world.shell.checked_every == 0:
                self.checker.check_now()
        await self.settle(supervisor)
        self.checker.check_settled()
        if self.seed % 4 == 0:
            await self._close_everything(supervisor)
            self.checker.check_settled()
        if isinstance(self.world.shell, MemoryShell):
            # Elsewhere the audit does it.
            self.checker.check_chain()
        found = self.world.shell.verify()
        if found:
            raise Violation("; ".join(found))

    def _end(self) -> None:
        """End whatever still runs."""
        for trader in self.world.traders:
            trader.is_dead = True
        for task in sorted(asyncio.all_tasks(self.loop), key=lambda task: task.get_name()):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def settle(self, supervisor: asyncio.Task[None]) -> None:
        """Heal everything and wait until nothing is under way (I-43)."""
        world = self.world
        world.faults.is_healed = True
        world.exchange.is_halted = world.exchange.is_thin = False
        await asyncio.sleep(0.2)
        if world.shell.killed_at is not None:
            world.shell.release(now=self.loop.now())
        for trader in world.traders:
            trader.awake.set()
        began = self.loop.time()
        while unrest := self._unrest():
            if self.loop.time() > began + SETTLE_SECONDS:
                raise Violation(f"I-43 never settled: {unrest}")
            await asyncio.sleep(2.0)
            self._check_alive(supervisor)
            if self.loop.time() > began + EXPLAIN_SECONDS and not self._is_hidden(seconds=RECONCILE_SECONDS):
                # While a difference stands unexplained nobody calls an order absent: a person says what it was.
                world.shell.explain(now=self.loop.now())
        if any(row.status == "absent" for row in world.shell.tables().orders.values()):
            # So long that the dead have been looked for once more.
            await asyncio.sleep(35.0)
            self._check_alive(supervisor)

    async def _close_everything(self, supervisor: asyncio.Task[None]) -> None:
        """Have a person lift all halts and flatten the books: at the end nothing is reserved."""
        now = self.loop.now()
        self.world.shell.reopen(now=now)
        for book in BOOKS:
            self.world.shell.flatten(book, now=now)
        self.world.stir()
        await self.settle(supervisor)

    def _check_alive(self, supervisor: asyncio.Task[None]) -> None:
        """Raise what a trader or the supervisor died of: only what the trader itself expects may end it."""
        if supervisor.done():
            supervisor.result()
        for trader in self.world.traders:
            for task in trader.tasks:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None and not _is_expected(error):
                    raise error
            trader.tasks = [task for task in trader.tasks if not task.done()]

    async def _supervise(self) -> None:
        """Start a trader again whenever the newest has ended."""
        while True:
            trader = self.world.trader
            await trader.ended.wait()
            self.world.note(f"trader {trader.epoch} ended {trader.why}")
            await asyncio.sleep(self._random.uniform(0.2, 2.0))
            if self.world.trader is trader:
                self.world.start_trader()

    async def _step(self, step: int) -> None:
        faults, world, now = self.world.faults, self.world, self.loop.now()
        self._toggle(step)
        if faults.strikes("stream_cut"):
            world.trader.port.cut("cut")
        if faults.strikes("flows"):
            asset, most = self._random.choice((("USDT", 30), ("USDT", 30), ("BNB", D("0.02")), ("BTC", D("0.001"))))
            # The operator takes out no more than is his; what bots own is taken by the trades of his hand.
            least = -60 if asset == "USDT" else 1
            world.exchange.flow(asset, (D(self._random.randint(least, 100)) / 100 * most).quantize(D("0.00000001")))
        if faults.strikes("hand_trade"):
            symbol = self._random.choice(("BTCUSDT", "ETHUSDT"))
            lot = world.exchange.pairs[symbol].lot
            world.exchange.by_hand(symbol, self._random.choice(("buy", "sell")), lot * self._random.randint(50, 300))
        if faults.strikes("hand_cancel"):
            self._cancel_by_hand()
        if faults.strikes("allocation"):
            world.shell.allocate(self._random.choice(BOOKS), D(self._random.randint(-300, 300)), now=now)
        if faults.strikes("crash_anywhere"):
            self.loop.call_later(self._random.uniform(0, 1), self._crash, world.trader)
        if faults.strikes("zombie"):
            await self._take_over()
        self._act()

    def _act(self) -> None:
        draw = self._random.random()
        if draw < 0.42:
            self._move()
        elif draw < 0.96:
            proposals = [self._proposal() for _ in range(self._random.choice((1, 1, 1, 2)))]
            outcomes = self.world.shell.decide(proposals, now=self.loop.now())
            for outcome in outcomes:
                proposal = outcome.proposal
                verdict = "accepted" if outcome.is_accepted else outcome.code
                self.world.note(f"book {proposal.book_id} {proposal.kind} {proposal.side} {proposal.lots}: {verdict}")
            self.world.stir()
        else:
            self.world.shell.flatten(self._random.choice(BOOKS), now=self.loop.now())
            self.world.stir()

    def _proposal(self) -> Proposal:
        kind = self._random.choice(("enter", "enter", "enter", "place", "place", "exit", "exit", "cancel", "move_stop"))
        instrument, pair = self._market()
        self._legs += 1
        values: dict[str, Any] = {"side": {"enter": "buy", "exit": "sell"}.get(kind, "")}
        stop = self._grid(pair, pair.price * self._random.randint(960, 995) / 1000)
        lots = int(D(self._random.randint(20, 900)) / pair.price / pair.lot)
        if kind == "enter":
            values |= {"lots": lots, "limit_price": self._grid(pair, pair.ask * D("1.01"))}
            if self._random.random() < 0.6:
                values["stop_price"] = stop
        elif kind == "place":
            side = self._random.choice(("buy", "sell"))
            away = D(self._random.randint(-1, 15)) / 1000
            price = pair.price * (1 - away if side == "buy" else 1 + away)
            values |= {"side": side, "lots": lots, "limit_price": self._grid(pair, price), "slot": self._random.randint(0, 3)}
        elif kind == "exit":
            values |= {"lots": self._random.choice((0, 0, lots)), "stop_price": self._random.choice((None, stop))}
        elif kind == "cancel":
            values["slot"] = self._random.randint(0, 3)
        else:
            values["stop_price"] = stop
        return Proposal(
            book_id=(book := self._random.choice(BOOKS)), rank=book, leg=self._legs, instrument_id=instrument,
            kind=ProposalKind(kind), reason=f"TEST_{kind.upper()}", **values,
        )  # fmt: skip

    def _market(self) -> tuple[int, Pair]:
        return self._random.choice(tuple(enumerate(self.world.exchange.pairs.values(), 1))[:2])

    def _move(self) -> None:
        _, pair = self._market()
        price = self._grid(pair, pair.price * (1 + D(self._random.randint(-15, 15)) / 1000))
        resting = [order.price for order in pair.orders.values() if order.price is not None and not order.is_final]
        if resting and self._random.random() < 0.2:
            # To the very price of an order, which trades in part.
            price = self._random.choice(resting)
        self.world.go_to(pair.symbol, price)

    def _toggle(self, step: int) -> None:
        """Switch what lasts for a while: thin markets, fees, closed markets, a kill."""
        world, faults, exchange = self.world, self.world.faults, self.world.exchange
        exchange.is_thin = "market_thin" in faults.known and self._random.random() < 0.5
        if exchange.is_thin:
            faults.fired["market_thin"] += 1
        if faults.strikes("fees_switch"):
            exchange.fees_in_bnb = not exchange.fees_in_bnb
        if exchange.is_halted:
            exchange.is_halted = self._random.random() < 0.6
        elif faults.strikes("market_closed"):
            exchange.is_halted = True
        if self.world.shell.killed_at is None and faults.strikes("kill"):
            # Amid whatever this step begins.
            self.loop.call_later(self._random.uniform(0.0, 0.004), world.kill)
            self._kill_until = step + self._random.randint(1, 8)
        elif self.world.shell.killed_at is not None and step >= self._kill_until:
            self.world.shell.release(now=self.loop.now())
        if self._random.random() < 0.03:
            # A person looks at what was halted, and lets it go on.
            self.world.shell.reopen(now=self.loop.now())

    def _cancel_by_hand(self) -> None:
        rows = [order for pair in self.world.exchange.pairs.values() for order in pair.orders.values() if not order.is_final]
        if rows:
            order = self._random.choice(rows)
            self.world.exchange.cancel(order.symbol, order.name)

    async def _take_over(self) -> None:
        """Stop the trader like SIGSTOP does, have a standby take the lease when it has run out, and wake the old one later."""
        zombie = self.world.trader
        self.world.note(f"trader {zombie.epoch} is stopped")
        zombie.awake.clear()
        await asyncio.sleep(self._random.uniform(12.0, 15.0))
        if self.world.trader is zombie:
            self.world.start_trader()
        self.loop.call_later(self._random.uniform(0.0, 60.0), zombie.awake.set)

    def _crash(self, trader: Any) -> None:
        if not trader.is_dead:
            self.world.faults.crashed_at["anywhere"] += 1
            self.world.note(f"trader {trader.epoch} is killed")
            trader.kill()

    def _unrest(self) -> str:
        """Say what is still under way."""
        tables, world = self.world.shell.tables(), self.world
        if not world.trader.is_recovered or world.trader.is_dead:
            return "no trader"
        if self._is_hidden():
            return "an order may not be visible yet"
        for row in tables.orders.values():
            is_ending = bool(row.final_status) or row.cancel_requested_at is not None
            if row.status == "unknown" and self._is_put_before_a_person(tables):
                continue
            if row.status in _MOVING or (row.status in ("open", "partial") and is_ending):
                return f"{row.client_order_id} is {row.status}"
        for pair in world.exchange.pairs.values():
            for order in pair.orders.values():
                pk = tables.order_ids.get(order.name)
                if pk is not None and order.is_final and tables.orders[pk].status in LIVE:
                    return f"nobody knows that {order.name} has ended"
        is_stuck = any(row.status == "unknown" for row in tables.orders.values()) and self._is_put_before_a_person(tables)
        if not is_stuck and any(row.state == "waiting" for row in tables.intents.values()):
            return "an intent waits"
        if sum(len(pair.trades) for pair in world.exchange.pairs.values()) != len(tables.fills):
            return "trades are not posted"
        if holdings(tables) != world.exchange.totals():
            return "ledger and exchange differ"
        return ""

    def _is_hidden(self, *, seconds: float = 1.0) -> bool:
        """Say whether reads may lately not have shown an order of the exchange, or one may still be on its way to it."""
        orders = [order for pair in self.world.exchange.pairs.values() for order in pair.orders.values()]
        return (
            any(order.visible_at > self.loop.time() - seconds for order in orders)
            or self.loop.time() < self.world.wire_busy_until
        )

    def _is_put_before_a_person(self, tables: Tables) -> bool:
        """Say whether a difference that nobody can explain keeps unknown orders unknown: reserved, entries halted."""
        is_residual = any(balance for pocket, balance in tables.pockets.items() if pocket.kind == "suspense")
        return is_residual and tables.account.state in ("entries_halted", "halted")

    def _pause(self) -> float:
        draw = self._random.random()
        if draw < 0.3:
            return 0.0
        return self._random.uniform(0.005, 0.4) if draw < 0.8 else self._random.uniform(0.5, 6.0)

    def _grid(self, pair: Pair, price: Decimal) -> Decimal:
        return (price / pair.tick).to_integral_value(ROUND_FLOOR) * pair.tick


class _Silence:
    """A logger that says nothing, and costs nothing."""

    def __init__(self, *_arguments: Any, **_values: Any) -> None:
        """Take whatever a logger is made of."""

    def bind(self, **_values: Any) -> Any:
        """Stay as it is."""
        return self

    def info(self, *_arguments: Any, **_values: Any) -> None:
        """Say nothing."""

    debug = warning = error = exception = critical = log = new = info


def holdings(tables: Tables) -> dict[str, Decimal]:
    """Add up what the ledger says the exchange holds, suspense and all."""
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for pocket, balance in tables.pockets.items():
        if not pocket.kind.startswith("external"):
            sums[pocket.asset] += balance
    return {asset: total for asset, total in sums.items() if total}


@contextmanager
def quiet() -> Iterator[None]:
    """Have nobody log."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=cast("Any", _Silence), cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def _is_expected(error: BaseException) -> bool:
    """Say whether a trader may end like this."""
    from exchange.errors import ExchangeTrouble
    from portfolio.trader.database import DatabaseGone
    from portfolio.trader.lease import LeaseLost
    from portfolio.trader.session import AccountHalted

    expected = (DatabaseGone, LeaseLost, ExchangeTrouble, AccountHalted)
    if isinstance(error, BaseExceptionGroup):
        return error.split(expected)[1] is None
    return isinstance(error, expected)
