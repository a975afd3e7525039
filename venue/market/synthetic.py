"""A market that never was: seeded, correlated, fat-tailed, with regimes, jumps and outages.

Candles come in blocks of one day. A block is made of the seed, the day's number and the state at
the end of the day before, so any day is reached again exactly, in any process. Nothing here
imitates a particular past; every label says synthetic.
"""

import json
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from venue.amounts import UNIT
from venue.listings import Listing, listing
from venue.market.bars import DAY_MS, EMPTY, MINUTE_MS, Bar, Series, aggregate, join

VERSION: Final = 1
START: Final = 1_704_067_200_000
HISTORY_DAYS: Final = 16
MINUTES: Final = 1440
SEGMENT: Final = 240
BLOCKS_KEPT: Final = 40

# Start price, daily volatility, share of the common factor, quote volume per minute.
COINS: Final = {
    "BTCUSDT": (42_300.0, 0.026, 0.92, 1_300_000.0),
    "ETHUSDT": (2_280.0, 0.034, 0.88, 700_000.0),
    "BNBUSDT": (312.0, 0.030, 0.80, 160_000.0),
    "SOLUSDT": (101.0, 0.050, 0.78, 320_000.0),
    "XRPUSDT": (0.6150, 0.038, 0.75, 210_000.0),
    "ADAUSDT": (0.5950, 0.042, 0.78, 90_000.0),
    "DOGEUSDT": (0.08950, 0.044, 0.75, 120_000.0),
    "AVAXUSDT": (38.60, 0.048, 0.77, 100_000.0),
    "LINKUSDT": (14.95, 0.044, 0.74, 80_000.0),
    "DOTUSDT": (8.200, 0.044, 0.76, 60_000.0),
    "LTCUSDT": (72.80, 0.036, 0.76, 60_000.0),
}
# Drift per day and volatility, each as a multiple of the coin's daily volatility.
REGIMES: Final = ((0.0, 0.70), (0.45, 0.95), (-0.45, 1.05), (0.0, 1.80))
REGIME_CHANGE: Final = 0.18
TAIL_FREEDOM: Final = 4
JUMP_CHANCE: Final = 0.35
OUTAGE_CHANCE: Final = 0.08
# Back to the start price with a half-life of about two months, so that no coin drifts away for ever.
REVERSION_PER_DAY: Final = 0.012
# How a second exchange's prices swing about the first one's: minutes of each swing, none a multiple of another.
BASIS_SWINGS: Final = (37.0, 101.0, 263.0)
# A slow wobble round the trend, with a half-life of 20 minutes: what grids live on.
WOBBLE_SHARE: Final = 0.10
WOBBLE_DECAY: Final = 0.5 ** (1 / 20)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where a day ends: what the next day needs to know of the past."""

    regime: int
    trend: Floats
    wobble: Floats

    def encode(self) -> str:
        """Write the state so that reading it gives the same numbers."""
        return json.dumps([self.regime, [x.hex() for x in self.trend.tolist()], [x.hex() for x in self.wobble.tolist()]])

    @classmethod
    def decode(cls, text: str) -> "State":
        """Read a written state."""
        regime, trend, wobble = json.loads(text)
        return cls(regime, np.array([float.fromhex(x) for x in trend]), np.array([float.fromhex(x) for x in wobble]))


class SyntheticMarket:
    """An endless market of one-minute candles."""

    kind = "synthetic"
    base_interval_ms = MINUTE_MS
    start_time = START
    end_time: int | None = None

    def __init__(
        self,
        seed: int,
        symbols: tuple[str, ...] = (),
        *,
        basis_ppm: int = 0,
        checkpoints: Mapping[int, str] | None = None,
        keep: Callable[[int, str], None] | None = None,
    ) -> None:
        self.seed = seed
        self.basis_ppm = basis_ppm
        names = [name for name in COINS if not symbols or name in symbols]
        self._columns = {name: index for index, name in enumerate(names)}
        self._index = [list(COINS).index(name) for name in names]
        self.listings: tuple[Listing, ...] = tuple(listing(name) for name in names)
        self._keep = keep or (lambda _day, _text: None)
        self._states = {day: State.decode(text) for day, text in (checkpoints or {}).items()}
        self._states[-HISTORY_DAYS] = State(0, np.zeros(len(COINS)), np.zeros(len(COINS)))
        self._blocks: OrderedDict[int, dict[str, Series]] = OrderedDict()

    @property
    def label(self) -> str:
        """Say in words what is shown."""
        apart = f", up to {self.basis_ppm / 10_000:g} % beside the first" if self.basis_ppm else ""
        return f"Synthetic market, seed {self.seed}{apart}"

    @property
    def identity(self) -> str:
        """Tell this market from any other."""
        basis = f"|{self.basis_ppm}" if self.basis_ppm else ""
        return f"synthetic|{VERSION}|{self.seed}|{','.join(self._columns)}{basis}"

    def bars_at(self, open_time: int) -> dict[str, Bar]:
        """Return the base candles that open at this moment."""
        found = {}
        for name, series in self._block(_day(open_time)).items():
            index = int(np.searchsorted(series.times, open_time))
            if index < len(series) and series.times[index] == open_time:
                found[name] = series.bar(index)
        return found

    def next_open(self, after: int) -> int | None:
        """Return the next moment at which a base candle opens; there always is one."""
        day = _day(after)
        while True:
            times = next(iter(self._block(day).values())).times
            index = int(np.searchsorted(times, after, side="right"))
            if index < len(times):
                return int(times[index])
            day += 1

    def closed(self, symbol: str, interval_ms: int, *, first: int, last: int, limit: int, forward: bool) -> Series:
        """Return candles that open from `first` to `last`: the first ones, or else the last ones."""
        lowest, highest = max(_day(first), -HISTORY_DAYS), _day(last)
        days = range(lowest, highest + 1) if forward else range(highest, lowest - 1, -1)
        parts: list[Series] = []
        count = 0
        for day in days:
            part = aggregate(self._block(day)[symbol], interval_ms).cut(first, last)
            parts.append(part)
            count += len(part)
            if count >= limit:
                break
        whole = join(parts if forward else parts[::-1]) if parts else EMPTY
        return whole.oldest(limit) if forward else whole.newest(limit)

    def _block(self, day: int) -> dict[str, Series]:
        if day in self._blocks:
            self._blocks.move_to_end(day)
            return self._blocks[day]
        known = max(known for known in self._states if known <= day)
        for earlier in range(known, day):
            self._make(earlier)
        return self._make(day)

    def _make(self, day: int) -> dict[str, Series]:
        block, after = make_day(self.seed, day, self._states[day], self.basis_ppm)
        if day + 1 not in self._states:
            self._states[day + 1] = after
            self._keep(day + 1, after.encode())
        self._blocks[day] = {name: block[self._index[column]] for name, column in self._columns.items()}
        if len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return self._blocks[day]


def make_day(seed: int, day: int, state: State, basis_ppm: int = 0) -> tuple[list[Series], State]:
    """Make one day of candles of every coin, and the state it ends in.

    With a basis it is the same day on another exchange, where prices swing by so many millionths at most about those here.
    """
    random = np.random.default_rng([VERSION, seed, day + HISTORY_DAYS])
    coins = np.array(list(COINS.values()))
    starts, sigmas, shares, volumes = coins.T
    regimes = _regimes(random, state.regime)
    shocks = _shocks(random, shares)
    scale = np.array([REGIMES[regime][1] for regime in regimes])[:, np.newaxis] * _season()[:, np.newaxis]
    drift = np.array([REGIMES[regime][0] for regime in regimes])[:, np.newaxis] * sigmas / MINUTES
    moves = drift + shocks * scale * sigmas / math.sqrt(MINUTES) + _jumps(random, sigmas)
    trend = state.trend + np.cumsum(moves - REVERSION_PER_DAY / MINUTES * state.trend, axis=0)
    wobble = _wobble(random, state.wobble, sigmas, scale)
    apart = _basis(day, basis_ppm)
    closes = starts * np.exp(trend + wobble) * apart[1:]
    first = starts * np.exp(state.trend + state.wobble) * apart[0]
    opens = np.vstack([first, closes[:-1]])
    reach = np.abs(random.standard_normal((2, MINUTES, len(COINS)))) * scale * sigmas / math.sqrt(MINUTES) * 0.45
    highs = np.maximum(opens, closes) * (1 + reach[0])
    lows = np.minimum(opens, closes) * (1 - reach[1])
    busy = np.exp(0.45 * random.standard_normal((MINUTES, len(COINS))) - 0.1) * (0.5 + np.abs(shocks)) * scale
    quotes = np.maximum(busy * volumes, 1.0)
    walked = _open_for_business(random)
    times = START + day * DAY_MS + MINUTE_MS * np.arange(MINUTES, dtype=np.int64)
    block = [
        _to_series(name, times, (opens[:, i], highs[:, i], lows[:, i], closes[:, i]), quotes[:, i], walked)
        for i, name in enumerate(COINS)
    ]
    return block, State(int(regimes[-1]), trend[-1], wobble[-1])


def _basis(day: int, basis_ppm: int) -> Floats:
    """Say by which factor each coin's price differs at each minute of a day, from the end of the day before on."""
    minutes = day * MINUTES + np.arange(-1, MINUTES)
    coins = np.arange(len(COINS))
    turns = sum(np.sin(2 * np.pi * minutes[:, np.newaxis] / swing + coins * (k + 1)) for k, swing in enumerate(BASIS_SWINGS))
    factors: Floats = 1 + basis_ppm / 1e6 * turns / len(BASIS_SWINGS)
    return factors


def _regimes(random: np.random.Generator, regime: int) -> list[int]:
    regimes: list[int] = []
    for _ in range(MINUTES // SEGMENT):
        changes, chosen = random.random(), int(random.integers(len(REGIMES)))
        regime = chosen if changes < REGIME_CHANGE else regime
        regimes += [regime] * SEGMENT
    return regimes


def _shocks(random: np.random.Generator, shares: Floats) -> Floats:
    scale = math.sqrt(TAIL_FREEDOM / (TAIL_FREEDOM - 2))
    common = random.standard_t(TAIL_FREEDOM, MINUTES) / scale
    own = random.standard_t(TAIL_FREEDOM, (MINUTES, len(shares))) / scale
    mixed: Floats = shares * common[:, np.newaxis] + np.sqrt(1 - shares**2) * own
    return mixed


def _season() -> Floats:
    """Describe how busy each minute of a day is: quiet in the early morning, busy in the afternoon, UTC."""
    hour = np.arange(MINUTES) / 60
    season: Floats = 1 + 0.25 * np.cos((hour - 15) / 24 * 2 * np.pi)
    return season


def _jumps(random: np.random.Generator, sigmas: Floats) -> Floats:
    jumps = np.zeros((MINUTES, len(sigmas)))
    chance, minute, size = random.random(), int(random.integers(MINUTES)), random.standard_normal(len(sigmas) + 1)
    if chance < JUMP_CHANCE:
        jumps[minute] = sigmas * (0.6 * size[-1] + 0.15 * size[:-1])
    return jumps


def _wobble(random: np.random.Generator, start: Floats, sigmas: Floats, scale: Any) -> Floats:
    steady = WOBBLE_SHARE * sigmas * math.sqrt(1 - WOBBLE_DECAY**2)
    noise: Floats = random.standard_normal((MINUTES, len(sigmas))) * steady * scale
    wobble: Floats = np.empty((MINUTES, len(sigmas)))
    now = start
    for minute in range(MINUTES):
        now = WOBBLE_DECAY * now + noise[minute]
        wobble[minute] = now
    return wobble


def _open_for_business(random: np.random.Generator) -> npt.NDArray[np.bool_]:
    walked = np.ones(MINUTES, dtype=np.bool_)
    chance, start, length = random.random(), int(random.integers(MINUTES)), int(random.integers(3, 20))
    if chance < OUTAGE_CHANCE:
        walked[start : start + length] = False
    return walked


def _to_series(name: str, times: Any, prices: tuple[Floats, ...], quotes: Floats, walked: npt.NDArray[np.bool_]) -> Series:
    item = listing(name)
    ticks = np.maximum(np.rint(np.stack(prices) * UNIT / item.tick).astype(np.int64), 1)
    opens, highs, lows, closes = ticks * item.tick
    middle = (prices[0] + prices[3]) / 2
    volumes = np.maximum(np.rint(quotes / middle * UNIT / item.step).astype(np.int64), 1) * item.step
    quote_units = np.rint(volumes / UNIT * middle * UNIT).astype(np.int64)
    trades = 1 + (quotes / 900).astype(np.int64)
    high, low = np.maximum(highs, np.maximum(opens, closes)), np.minimum(lows, np.minimum(opens, closes))
    return Series(np.stack([times, opens, high, low, closes, volumes, quote_units, trades])[:, walked])


def _day(moment: int) -> int:
    return (moment - START) // DAY_MS
