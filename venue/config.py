"""The command line: what the exchange shows, where it keeps it, where it answers."""

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from venue.amounts import IllegalAmount, TooPrecise, parse_rate
from venue.faults.rules import Rule, UnusableFaults, read_file
from venue.matching.terms import PPM, Terms

DEFAULT_PORT: Final = 8020
WEIGHT_LIMIT: Final = 600_000
ORDER_LIMIT: Final = 20_000
BASIS_MOST_PPM: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything a run is told."""

    data_dir: Path
    host: str
    port: int
    control_port: int | None
    market: str
    speed: float
    data: Path | None
    upstream: Path | None
    start_time: int | None
    exchange: str
    symbols: tuple[str, ...]
    seed: int
    basis_ppm: int
    terms: Terms
    weight_limit: int
    order_limit: int
    paused: bool
    wait_for_client: bool
    faults: tuple[Rule, ...] = ()
    fault_seed: int | None = None


def read_options(words: list[str]) -> Options:
    """Read the command line; leave with a message and code 2 when it makes no sense."""
    parser = _parser()
    given = parser.parse_args(words)
    if given.market == "replay" and given.data is None:
        parser.error("--market replay needs --data, the folder of your candles.")
    if given.market != "replay" and (given.data or given.start):
        parser.error("--data and --from belong to --market replay.")
    if (given.market == "live") != (given.upstream is not None):
        parser.error("--market live and --upstream, the file that describes the real exchange, belong together.")
    speed = 1.0 if given.market == "live" else given.speed
    if not 0 < speed <= 1_000_000:
        parser.error("--speed must be above 0 and at most 1000000.")
    try:
        maker, taker = (parse_rate(rate) for rate in given.fees.split(","))
    except (ValueError, IllegalAmount, TooPrecise):
        parser.error("--fees must be two rates such as 0.001,0.001.")
    for name, value in (("half-spread-ppm", given.half_spread_ppm), ("slippage-ppm", given.slippage_ppm)):
        if not 0 <= value < PPM // 10:
            parser.error(f"--{name} must be from 0 to {PPM // 10 - 1}.")
    if not 0 <= given.basis_ppm <= BASIS_MOST_PPM or (given.basis_ppm and given.market != "synthetic"):
        parser.error(f"--basis-ppm must be from 0 to {BASIS_MOST_PPM}, and belongs to --market synthetic.")
    if not 0 < given.participation_ppm <= PPM:
        parser.error(f"--participation-ppm must be above 0 and at most {PPM}.")
    try:
        fault_seed, faults = read_file(given.faults) if given.faults else (None, [])
    except UnusableFaults as error:
        parser.error(str(error))
    return Options(
        data_dir=given.data_dir,
        host=given.host,
        port=given.port,
        control_port=given.control_port,
        market=given.market,
        speed=speed,
        data=given.data,
        upstream=given.upstream,
        start_time=_moment(parser, given.start),
        exchange=given.exchange,
        symbols=tuple(name.strip().upper().replace("/", "") for name in given.symbols.split(",") if name.strip()),
        seed=given.seed,
        basis_ppm=given.basis_ppm,
        terms=Terms(given.half_spread_ppm, given.slippage_ppm, given.participation_ppm, maker, taker),
        weight_limit=given.weight_limit,
        order_limit=given.order_limit,
        paused=given.paused,
        wait_for_client=given.wait_for_client,
        faults=tuple(faults),
        fault_seed=fault_seed,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m venue", description="A local Binance-compatible spot exchange.")
    add = parser.add_argument
    add("--data-dir", type=Path, required=True, help="where the exchange keeps its own books")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=DEFAULT_PORT, help="port of REST and WebSocket (default: %(default)s)")
    add("--control-port", type=int, help="port of the control address; off unless given, loopback only")
    add("--market", choices=("synthetic", "replay", "live"), default="synthetic", help="where prices come from")
    add("--speed", type=float, default=60.0, help="market seconds per second, at most (default: %(default)s)")
    add("--data", type=Path, help="replay: folder of Parquet candles")
    add("--upstream", type=Path, help="live: file that describes the real exchange whose prices are told to the control address")
    add("--from", dest="start", default="", help="replay: where to start, for example 2024-03-01")
    add("--exchange", default="", help="replay: whose candles, where the folder holds several")
    add("--symbols", default="", help="only these, separated by commas")
    add("--seed", type=int, default=7, help="synthetic: which of the endless markets (default: %(default)s)")
    add("--basis-ppm", type=int, default=0, help="synthetic: how far prices swing about those of the same seed, in millionths")
    add("--fees", default="0.001,0.001", help="maker,taker (default: %(default)s)")
    add("--half-spread-ppm", type=int, default=50, help="half of the spread, in millionths (default: %(default)s)")
    add("--slippage-ppm", type=int, default=0, help="slippage of takers, in millionths (default: %(default)s)")
    add("--participation-ppm", type=int, default=100_000, help="share of a bar's volume one may have, in millionths")
    add("--weight-limit", type=int, default=WEIGHT_LIMIT, help="request weight per minute (default: %(default)s)")
    add("--order-limit", type=int, default=ORDER_LIMIT, help="orders per ten seconds (default: %(default)s)")
    add("--paused", action="store_true", help="open the market but let no time pass until told to")
    add("--wait-for-client", action="store_true", help="let no time pass while no pacing client is registered")
    add("--faults", type=Path, help="arm the faults of this file, one JSON rule to a line (docs/venue.md)")
    return parser


def _moment(parser: argparse.ArgumentParser, text: str) -> int | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        parser.error(f"--from {text} is not a date: write 2024-03-01 or 2024-03-01T12:00:00+00:00.")
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
