"""Choose the market of the local exchange, and refuse data that is not there before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tradeapp.up.trouble import UnableToStart

MARKETS = ("auto", "synthetic", "replay", "live")
DEFAULT_SPEED = 60.0


@dataclass(frozen=True, slots=True)
class MarketChoice:
    """What the local exchange shows."""

    market: str
    speed: float
    data: Path | None = None
    begin: str = ""

    def arguments(self) -> list[str]:
        """Return the local exchange's command line options."""
        words = ["--market", self.market, "--speed", f"{self.speed:g}"]
        if self.data is not None:
            words += ["--data", str(self.data)]
        if self.begin:
            words += ["--from", self.begin]
        return words


def choose(*, market: str, speed: float | None, data: str | None, begin: str | None, data_dir: Path) -> MarketChoice:
    """Return the market to run; raise with what to do when it cannot."""
    if market == "live":
        raise UnableToStart(
            "--market live is not built yet (docs/roadmap.md, issue E). Use --market synthetic, or --market replay with --data."
        )
    if speed is not None and not 0 < speed <= 1_000_000:
        raise UnableToStart(f"--speed {speed:g} is not a speed: use a number above 0, for example 60.")
    speed = DEFAULT_SPEED if speed is None else speed
    downloaded = data_dir / "history" / "parquet"
    if market == "auto":
        market = "replay" if data or _has_candles(downloaded) else "synthetic"
    if market == "synthetic":
        if data or begin:
            raise UnableToStart("--data and --from belong to --market replay: a synthetic market needs neither.")
        return MarketChoice("synthetic", speed)
    root = Path(data).expanduser().absolute() if data else downloaded
    _demand_candles(root)
    return MarketChoice("replay", speed, root, _moment(begin) if begin else "")


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
