"""Run the exchange: `python -m venue --data-dir DIR`."""

import asyncio
import sys

from venue import server
from venue.config import read_options
from venue.exchange import Exchange
from venue.faults.rules import UnusableFaults
from venue.market.replay import ReplayMarket
from venue.market.source import UnusableMarket
from venue.store import StoreUnusable

EXIT_UNUSABLE = 2
EXIT_FAILED = 1


def main() -> int:
    """Run until stopped; say in one sentence why not."""
    options = read_options(sys.argv[1:])
    try:
        exchange = Exchange(options)
    except (UnusableMarket, StoreUnusable, UnusableFaults) as error:
        print(f"venue: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    if isinstance(exchange.source, ReplayMarket) and exchange.source.left_out:
        print(f"venue: left out for lack of candles: {', '.join(exchange.source.left_out)}", file=sys.stderr)
    try:
        asyncio.run(server.run(exchange, options))
    except server.PortTaken as error:
        print(f"venue: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    except StoreUnusable as error:
        print(f"venue: {error} Nothing was answered that is not written; free some space and start again.", file=sys.stderr)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
