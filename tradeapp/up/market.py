"""Choose the market of the local exchange, and refuse data that is not there before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tradeapp.up import live_source
from tradeapp.up.live_source import LiveSource, NoLivePrices
from tradeapp.up.trouble import UnableToStart

MARKETS = ("auto", "synthetic", "replay", "live")
DEFAULT_SPEED = 60.0
# Wide enough for an arbitrage to have something to do after both fees; every label says how wide.
SECOND_BASIS_PPM = 6000


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says of the market."""

    market: str = "auto"
    speed: float | None = None
    data: str | None = None
    begin: str | None = None
    upstream: str | None = None
    upstream_url: str | None = None
    # Whose candles are replayed, where the folder holds several exchanges'.
    exchange: str | None = None
    # None: one exchange; else another one beside it, by name where the market knows names.
    second: str | None = None


@dataclass(frozen=True, slots=True)
class MarketChoice:
    """What the local exchange shows."""

    market: str
    speed: float
    data: Path | None = None
    begin: str = ""
    source: LiveSource | None = None
    # Why this one, where nobody asked for it by name.
    reason: str = ""
    exchange: str = ""
    basis_ppm: int = 0

    def arguments(self) -> list[str]:
        """Return the local exchange's command line options."""
        words = ["--market", self.market, "--speed", f"{self.speed:g}"]
        if self.data is not None:
            words += ["--data", str(self.data)]
        if self.begin:
            words += ["--from", self.begin]
        if self.source is not None:
            words += ["--upstream", str(self.source.upstream)]
        if self.exchange:
            words += ["--exchange", self.exchange]
        if self.basis_ppm:
            words += ["--basis-ppm", str(self.basis_ppm)]
        return words


def choose(wish: Wish, *, data_dir: Path, say: Callable[[str], None]) -> MarketChoice:
    """Return the market to run; raise with what to do when it cannot."""
    if wish.speed is not None and not 0 < wish.speed <= 1_000_000:
        raise UnableToStart(f"--speed {wish.speed:g} is not a speed: use a number above 0, for example 60.")
    if wish.upstream_url and not wish.upstream:
        raise UnableToStart("--upstream-url belongs to --upstream, the exchange whose protocol is spoken there.")
    if wish.market not in ("auto", "live") and wish.upstream:
        raise UnableToStart("--upstream belongs to --market live: replay and synthetic markets need no exchange.")
    if wish.market == "live":
        return _live(wish, data_dir=data_dir, say=say)
    if wish.market == "auto":
        return _best(wish, data_dir=data_dir, say=say)
    if wish.market == "synthetic":
        if wish.data or wish.begin or wish.exchange:
            raise UnableToStart("--data, --from and --exchange belong to --market replay: a synthetic market needs none.")
        return MarketChoice("synthetic", _speed(wish))
    return _replay(wish, data_dir)


def choose_second(wish: Wish, first: MarketChoice, *, data_dir: Path, say: Callable[[str], None]) -> MarketChoice | None:
    """Return the market of a second exchange beside the first, if one is wanted: of the same kind, at the same speed."""
    if wish.second is None:
        return None
    if first.market == "synthetic":
        if wish.second:
            raise UnableToStart(f"--second {wish.second}: a synthetic market has no exchanges with names. Leave the name out.")
        return replace(first, basis_ppm=SECOND_BASIS_PPM, reason="")
    if not wish.second:
        what = "a folder of --data" if first.market == "replay" else "such as coinbase"
        raise UnableToStart(f"--second needs the name of the other exchange on a {first.market} market: {what}.")
    if first.market == "replay":
        return replace(first, exchange=wish.second, reason="")
    assert first.source is not None
    if first.source.exchange == wish.second:
        raise UnableToStart(f"--second {wish.second} is the exchange that is shown already: name another one.")
    try:
        source = live_source.find(exchange=wish.second, url=None, data_dir=data_dir, say=say, file=live_source.SECOND_FILE)
    except NoLivePrices as error:
        raise UnableToStart(
            f"No live prices of a second exchange can be read ({error}). Name another one with --second."
        ) from error
    return replace(first, source=source, reason="")


def _live(wish: Wish, *, data_dir: Path, say: Callable[[str], None]) -> MarketChoice:
    if wish.data or wish.begin or wish.exchange:
        raise UnableToStart("--data, --from and --exchange belong to --market replay: live prices have no past to begin at.")
    if wish.speed not in (None, 1.0):
        raise UnableToStart("Live prices come at the speed of life: leave --speed out.")
    try:
        source = live_source.find(exchange=wish.upstream, url=wish.upstream_url, data_dir=data_dir, say=say)
    except NoLivePrices as error:
        raise UnableToStart(
            f"No live prices can be read ({error}). Check the network, name another exchange with --upstream, or use "
            "--market synthetic, or --market replay with --data."
        ) from error
    return MarketChoice("live", 1.0, source=source)


def _best(wish: Wish, *, data_dir: Path, say: Callable[[str], None]) -> MarketChoice:
    """Try live prices, then history of one's own, then a synthetic market; what was asked for narrows the choice."""
    if wish.data or wish.begin or wish.exchange:
        return _replay(wish, data_dir)
    if wish.speed not in (None, 1.0):
        why = f"--speed {wish.speed:g} is not the speed of live prices"
    else:
        try:
            source = live_source.find(exchange=wish.upstream, url=wish.upstream_url, data_dir=data_dir, say=say)
            return MarketChoice("live", 1.0, source=source, reason=f"{source.exchange} answers")
        except NoLivePrices as error:
            why = f"no live prices ({error})"
    if _has_candles(_downloaded(data_dir)):
        root = _downloaded(data_dir)
        return MarketChoice("replay", _speed(wish), root, reason=f"{why}, but there is history in {root}")
    return MarketChoice("synthetic", _speed(wish), reason=f"{why}, and no history in {_downloaded(data_dir)}")


def _replay(wish: Wish, data_dir: Path) -> MarketChoice:
    root = Path(wish.data).expanduser().absolute() if wish.data else _downloaded(data_dir)
    _demand_candles(root)
    return MarketChoice("replay", _speed(wish), root, _moment(wish.begin) if wish.begin else "", exchange=wish.exchange or "")


def _speed(wish: Wish) -> float:
    return DEFAULT_SPEED if wish.speed is None else wish.speed


def _downloaded(data_dir: Path) -> Path:
    return data_dir / "history" / "parquet"


def _demand_candles(root: Path) -> None:
    if not root.is_dir():
        raise UnableToStart(
            f"--market replay needs a folder of candles, and {root} is not one. Name one with --data, or use --market synthetic."
        )
    if not _has_candles(root):
        raise UnableToStart(f"{root} holds no Parquet files with candles. Name another folder with --data.")


def _has_candles(root: Path) -> bool:
    return root.is_dir() and next(root.rglob("*.parquet"), None) is not None


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UnableToStart(f"--from {text} is not a date: write 2024-03-01 or 2024-03-01T12:00:00+00:00.") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
