"""`python -m marketdata.mirror learn|tell`: the process behind `up --market live`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from exchange.connect import UnknownExchange, market_port
from exchange.errors import ExchangeTrouble
from exchange.ports import MarketPort
from exchange.telling import VenueMirror
from marketdata.mirror import upstream
from marketdata.mirror.loop import Mirror

LEARN_SECONDS = 25.0
EXIT_UNREACHABLE = 3


def main() -> int:
    """Do what the words say; explain in one sentence why not."""
    options = _parser().parse_args()
    try:
        asyncio.run(_learn(options) if options.action == "learn" else _tell(options))
    except (ExchangeTrouble, UnknownExchange, TimeoutError) as error:
        print(str(error) or "no answer in time", file=sys.stderr)
        return EXIT_UNREACHABLE
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m marketdata.mirror", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    learn = actions.add_parser("learn", help="write down what the exchange lists")
    learn.add_argument("--out", type=Path, required=True, help="file for `python -m venue --upstream`")
    tell = actions.add_parser("tell", help="tell the local venue what happens there, until stopped")
    tell.add_argument("--control-url", required=True, help="the local venue's control address")
    for action in (learn, tell):
        action.add_argument("--exchange", required=True, help="name of the exchange, as ccxt has it")
        action.add_argument("--rest-url", default="", help="another address of it (Binance's protocol only)")
        action.add_argument("--stream-url", default="", help="another address of its streams")
    return parser


def _port(options: argparse.Namespace) -> MarketPort:
    return market_port(exchange=options.exchange, rest_url=options.rest_url, stream_url=options.stream_url)


async def _learn(options: argparse.Namespace) -> None:
    port = _port(options)
    try:
        async with asyncio.timeout(LEARN_SECONDS):
            upstream.write(options.out, await upstream.learn(port, options.exchange))
    finally:
        await port.close()


async def _tell(options: argparse.Namespace) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    port, venue = _port(options), VenueMirror(options.control_url)
    try:
        await Mirror(port=port, venue=venue).run()
    except asyncio.CancelledError:
        return
    finally:
        await venue.close()
        await port.close()


if __name__ == "__main__":
    sys.exit(main())
