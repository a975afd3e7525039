"""Whatever happens: no unit appears or vanishes, and locked is exactly what open orders need."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.venue.worlds import World, draw
from venue.amounts import UNIT, text
from venue.clock import POSITION, MarketClock, Position
from venue.errors import ApiError
from venue.matching.engine import Engine
from venue.matching.settlement import lock_asset, obligation
from venue.matching.terms import Terms
from venue.store import Store

TERMS = Terms(half_spread_ppm=400, slippage_ppm=100, maker_fee_ppm=700)
KINDS = ("LIMIT", "LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
BARS = 12


def _candles(chance: random.Random) -> list[tuple[str, str, str, str, str]]:
    price, candles = 10_000, []
    for _ in range(BARS):
        open_ = price + chance.choice((0, 0, 0, -150, 150))
        close = open_ + chance.randint(-200, 200)
        high, low = max(open_, close) + chance.randint(0, 150), min(open_, close) - chance.randint(0, 150)
        volume = chance.choice((0, 3, 40, 900))
        first, top, bottom, last = (f"{ticks / 100:.2f}" for ticks in (open_, high, low, close))
        candles.append((first, top, bottom, last, str(volume)))
        price = close
    return candles


def _act(world: World, chance: random.Random, number: int) -> None:
    """Send one random order or cancellation; refusals are fine."""
    account, engine = world.account, world.engine
    if account.open_orders and chance.random() < 0.25:
        symbol, order_id = chance.choice(list(account.open_orders))
        engine.cancel(account, symbol, order_id=order_id, client_order_id=None, new_client_id=f"c{number}")
        return
    kind = chance.choice(KINDS)
    price = engine.books["ETHUSDT"].price / UNIT * chance.uniform(0.97, 1.03)
    wishes = {"quantity": f"{chance.uniform(0.06, 3):.4f}", "client": f"o{number}"}
    if kind == "MARKET" and chance.random() < 0.3:
        wishes = {"quote": f"{chance.uniform(6, 300):.2f}", "client": f"o{number}"}
    if "LIMIT" in kind:
        wishes["price"] = f"{price:.2f}"
    if kind.startswith(("STOP", "TAKE")):
        wishes["stop"] = f"{price * chance.uniform(0.99, 1.01):.2f}"
    if kind == "LIMIT":
        wishes["in_force"] = chance.choice(("GTC", "IOC", "FOK"))
    wishes["prevention"] = chance.choice(("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"))
    with contextlib.suppress(ApiError):
        world.order(chance.choice(("BUY", "SELL")), kind, **wishes)


def _check_books(world: World) -> None:
    needed: Counter[str] = Counter()
    for order in world.account.open_orders.values():
        book = world.engine.books[order.symbol]
        assert order.locked == min(obligation(order, book.listing, TERMS), order.locked)
        assert order.triggered or order.locked == obligation(order, book.listing, TERMS)
        needed[lock_asset(order, book.listing)] += order.locked
    for asset, balance in world.account.balances.items():
        assert balance.free >= 0
        assert balance.locked == needed[asset]
    waiting = {order.order_id for order in world.engine.books["ETHUSDT"].waiting()}
    assert waiting == {order_id for _, order_id in world.account.open_orders}


def _check_conservation(world: World, before: dict[str, int]) -> None:
    """Rebuild the balances from the trades alone."""
    rebuilt = Counter(before)
    for trade in world.engine.journal.trades:
        sign = 1 if trade.side == "BUY" else -1
        rebuilt["ETH"] += sign * trade.quantity
        rebuilt["USDT"] -= sign * trade.quote
        rebuilt[trade.fee_asset] -= trade.fee
        rate = TERMS.maker_fee_ppm if trade.is_maker else TERMS.taker_fee_ppm
        assert trade.fee == (trade.quantity if trade.side == "BUY" else trade.quote) * rate // 1_000_000
        assert trade.quote * UNIT == trade.price * trade.quantity
    held = {asset: balance.free + balance.locked for asset, balance in world.account.balances.items()}
    assert held == dict(rebuilt)


@settings(max_examples=settings().max_examples // 2, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_random_trading_conserves_every_asset(seed: int) -> None:
    chance = random.Random(seed)
    world = draw(_candles(chance), terms=TERMS, balances={"USDT": "900", "ETH": "9"})
    before = {asset: balance.free for asset, balance in world.account.balances.items()}

    for number in range(BARS * 6):
        if number % 6 == 5 and not world.clock.position.is_finished:
            world.walk_bar(parts=chance.choice((8, 40, 80)))
        else:
            _act(world, chance, number)
        _check_books(world)

    _check_conservation(world, before)


def _state(world: World) -> object:
    balances = {asset: (b.free, b.locked) for asset, b in world.account.balances.items()}
    engine = world.engine
    return balances, sorted(world.account.open_orders), engine.now, engine.last_order_id, engine.tape.last_id


@pytest.mark.parametrize("seed", range(8))
def test_a_restart_in_the_middle_changes_nothing(seed: int, tmp_path: Path) -> None:
    """Two exchanges live through the same orders; one of them is rebuilt from its file after every step."""
    chance, other_chance = random.Random(seed), random.Random(seed)
    steady = draw(_candles(chance), terms=TERMS, balances={"USDT": "900", "ETH": "9"})
    reborn = draw(_candles(other_chance), terms=TERMS, balances={"USDT": "900", "ETH": "9"})
    reborn.engine.journal.accounts[1] = reborn.account
    reborn.engine.journal.balances |= {(1, "USDT"), (1, "ETH")}

    for number in range(BARS * 9):
        for world, own_chance in ((steady, chance), (reborn, other_chance)):
            _live(world, own_chance, number)
        reborn = _rebuild(reborn, tmp_path / "venue.sqlite3")

        assert _state(reborn) == _state(steady)

    store = Store(tmp_path / "venue.sqlite3")
    kept = sorted(store.trades_of(1), key=lambda trade: trade.trade_id)
    store.close()
    assert [text(trade.price) for trade in kept] == [text(trade.price) for trade in steady.engine.journal.trades]
    assert kept


def _live(world: World, chance: random.Random, number: int) -> None:
    """Walk a part of the bar on every third beat, trade on the others."""
    clock = world.clock
    if number % 3 or clock.position.is_finished:
        _act(world, chance, number)
    elif clock.position.progress == 240:
        clock.turn()
    else:
        clock.walk(40)


def _rebuild(world: World, path: Path) -> World:
    """Write everything, throw the world away and read it back."""
    store = Store(path)
    store.write_now(world.engine.take_journal())
    source = world.clock.source
    engine = Engine(source.listings, TERMS, wall_ms=lambda: 0)
    engine.accounts = {account.uid: account for account in store.accounts()}
    for symbol, (order_id, trade_id) in store.counters().items():
        engine.last_order_id[symbol], engine.tape.last_id[symbol] = order_id, trade_id
    engine.restore(store.open_orders())
    clock = MarketClock(source, engine, Position.decode(store.facts()[POSITION]))
    store.close()
    return World(engine, clock, engine.accounts[1])
