"""`up`: check, start everything in order, say where it is, keep it running, and end it all."""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tradeapp import environment, exposure, places, server_addresses
from tradeapp.up import addresses as addressbook
from tradeapp.up import instance_lock, layout, market, numba_cache, server_account
from tradeapp.up import postgres as postgres_server
from tradeapp.up import valkey as valkey_server
from tradeapp.up.addresses import Addresses, LoopbackPorts
from tradeapp.up.market import MarketChoice, Wish
from tradeapp.up.plan import Plan, numbered
from tradeapp.up.postgres import OWNER_ROLE, PROCESS_ROLE, Postgres
from tradeapp.up.supervisor import StopRequested, Supervisor
from tradeapp.up.trouble import UnableToStart
from tradeapp.up.valkey import Valkey

DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)
DEFAULT_PORT = 8000
FREE_BYTES_MIN = 300_000_000
PREPARE_SECONDS = 180.0
SERVER_SECONDS = 60.0
HISTORY_SECONDS = 150.0
SLOW_START_SECONDS = 120.0
# Exchange keys are for the encrypted store and one trader each, never for the environment of every process.
KEY_PREFIX = "BINANCE_API_"


@dataclass(frozen=True, slots=True)
class Servers:
    """The embedded servers of this run; none where the operator named a server."""

    postgres: Postgres | None
    valkey: Valkey | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `up`."""
    parser.add_argument("--host", default="127.0.0.1", help="address of the dashboard; any but loopback needs TLS and more")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port of the dashboard")
    parser.add_argument("--market", choices=market.MARKETS, default="auto", help="which market the local exchange shows")
    parser.add_argument("--speed", type=float, help=f"market seconds for each second (default {market.DEFAULT_SPEED:g})")
    parser.add_argument("--from", dest="begin", help="first moment of a replay, for example 2024-03-01")
    parser.add_argument("--data", help="folder of Parquet candles for a replay")
    parser.add_argument(
        "--upstream", help="exchange whose live prices are shown, for example binance; else the first that answers"
    )
    parser.add_argument(
        "--upstream-url", help="another address of it, for example http://127.0.0.1:8020 (Binance's protocol only)"
    )
    parser.add_argument("--exchange", help="whose candles a replay shows, where the folder holds several")
    parser.add_argument(
        "--second",
        nargs="?",
        const="",
        metavar="EXCHANGE",
        help="run a second local exchange with an account of its own, for arbitrage: on a synthetic market a twin with other "
        "prices, else name it, for example coinbase",
    )
    parser.add_argument("--no-demo", dest="demo", action="store_false", help="do not set up the paper account and its bots")
    parser.add_argument("--venue-port", type=int, help="port of the local exchange")
    parser.add_argument("--control-port", type=int, help="port of the local exchange's control")


def run(options: argparse.Namespace, *, say: Callable[[str], None] = lambda line: print(line, flush=True)) -> int:
    """Start the system and keep it running; answer the exit code."""
    began = time.monotonic()
    project = places.PROJECT_DIR
    environ = environment.load(project)
    _refuse_real_money(environ)
    data_dir = places.data_directory(environ=environ, user_id=os.getuid())
    layout.create_data_directory(data_dir)
    _demand_space(data_dir)
    with closing(instance_lock.acquire(data_dir)):
        choice = market.choose(_wish(options), data_dir=data_dir, say=say)
        second = market.choose_second(_wish(options), choice, data_dir=data_dir, say=say)
        chosen = addressbook.choose_ports(
            data_dir=data_dir,
            host=options.host,
            port=options.port,
            venue=options.venue_port,
            control=options.control_port,
            environ=environ,
            has_second=second is not None,
        )
        say(f"Data directory: {data_dir}")
        if choice.reason:
            say(f"Market: {choice.market}, because {choice.reason}.")
        if any(name.startswith(KEY_PREFIX) for name in environ):
            say("Exchange keys in the environment are not used by paper trading, and no process is given them.")
        with Supervisor(data_dir=data_dir, project=project, say=say) as supervisor:
            try:
                servers = _servers(environ, data_dir)
                found = _addresses(environ, servers, chosen)
                plan = Plan(
                    project=project,
                    data_dir=data_dir,
                    addresses=found,
                    environment=_child_environment(environ, found, data_dir, project, supervisor),
                )
                addressbook.remember(data_dir=data_dir, addresses=found, stored=_embedded_names(servers))
                choices = [choice, *([second] if second else [])]
                _start(supervisor, plan, servers, choices, demo=options.demo, say=say, began=began)
                supervisor.keep_running(until=lambda: False)
            except StopRequested:
                say("Stopping.")
        say("Stopped.")
    return 0


def _wish(options: argparse.Namespace) -> Wish:
    given = (options.market, options.speed, options.data, options.begin, options.upstream, options.upstream_url)
    return Wish(*given, options.exchange, options.second)


def _start(
    supervisor: Supervisor,
    plan: Plan,
    servers: Servers,
    choices: Sequence[MarketChoice],
    *,
    demo: bool,
    say: Callable[[str], None],
    began: float,
) -> None:
    token = supervisor.child_environment({})
    for number, choice in enumerate(choices, start=1):
        supervisor.start(plan.venue(choice, demo=demo, number=number))
        if choice.source is not None:
            supervisor.start(plan.mirror(choice.source, number=number))
    if servers.valkey:
        supervisor.start(plan.valkey(servers.valkey, token))
        supervisor.wait_ready("valkey", seconds=SERVER_SECONDS)
    # It compiles the strategies before it takes work, which takes longest of all on a first start.
    supervisor.start(plan.worker("trading", concurrency=2))
    if servers.postgres:
        servers.postgres.create()
        servers.postgres.allow_current_user()
        servers.postgres.clear_stale_lock()
        supervisor.start(plan.postgres(servers.postgres, token))
        supervisor.wait_ready("postgres", seconds=SERVER_SECONDS)
        servers.postgres.create_database()
    for number, choice in enumerate(choices, start=1):
        supervisor.wait_ready(numbered("venue", number), seconds=SERVER_SECONDS)
        if choice.source is not None:
            # Nobody may ask for candles before the history is there.
            supervisor.wait_ready(numbered("mirror", number), seconds=HISTORY_SECONDS)
    prepared = json.loads(supervisor.run_once(plan.preparation(demo=demo), seconds=PREPARE_SECONDS))
    for line in prepared["notes"]:
        say(line)
    supervisor.start(plan.web())
    for account_id in prepared["accounts"]:
        supervisor.start(plan.trader(account_id))
    for market_id in prepared["markets"]:
        supervisor.start(plan.feed(market_id))
    supervisor.start(plan.worker("backtests", concurrency=1))
    supervisor.start(plan.beat())
    _wait_for_people(supervisor, plan, say=say, began=began)
    say("")
    say(f"Ready after {time.monotonic() - began:.0f} s. Dashboard: {plan.addresses.dashboard}")
    say(f"Sign in once, within 15 minutes: {prepared['sign_in_link']}")
    say("Stop everything with Ctrl-C.")


def _wait_for_people(supervisor: Supervisor, plan: Plan, *, say: Callable[[str], None], began: float) -> None:
    """Wait until a person can sign in and the bots run; say once what takes long."""
    is_ready = plan.web().is_ready
    assert is_ready is not None
    next_look = time.monotonic()
    warned = False

    def ready() -> bool:
        nonlocal next_look, warned
        if time.monotonic() < next_look:
            return False
        next_look = time.monotonic() + 0.5
        if not warned and time.monotonic() - began > SLOW_START_SECONDS:
            warned = True
            say(f"Not ready yet. {plan.addresses.dashboard}/api/v1/ready says what is missing; logs in {plan.data_dir / 'logs'}.")
        return is_ready()

    supervisor.keep_running(until=ready)


def _servers(environ: Mapping[str, str], data_dir: Path) -> Servers:
    if environ.get("DATABASE_URL") and environ.get("REDIS_URL"):
        return Servers(None, None)
    account = server_account.choose()
    found = layout.prepare(data_dir=data_dir, account=account)
    return Servers(
        postgres=None if environ.get("DATABASE_URL") else postgres_server.embedded(places=found, account=account),
        valkey=None if environ.get("REDIS_URL") else valkey_server.embedded(places=found, account=account),
    )


def _addresses(environ: Mapping[str, str], servers: Servers, chosen: LoopbackPorts) -> Addresses:
    postgres, valkey = servers.postgres, servers.valkey
    external = environ.get("DATABASE_URL", "")
    if external:
        server_addresses.database_settings(external)
    return Addresses(
        host=chosen.host,
        port=chosen.port,
        venue_port=chosen.venue,
        control_port=chosen.control,
        second=chosen.second,
        database_url=postgres.url(role=PROCESS_ROLE) if postgres else external,
        owner_database_url=postgres.url(role=OWNER_ROLE) if postgres else external,
        redis_url=valkey.url() if valkey else server_addresses.check_redis(environ.get("REDIS_URL", "")),
        public_name="" if exposure.is_loopback(chosen.host) else environ.get("ALLOWED_HOSTS", "").split(",")[0].strip(),
        has_tls=bool(environ.get(exposure.TLS_CERTIFICATE)),
    )


def _embedded_names(servers: Servers) -> tuple[str, ...]:
    databases = ("DATABASE_URL",) if servers.postgres else ()
    brokers = ("REDIS_URL",) if servers.valkey else ()
    venues = (f"{prefix}{kind}" for prefix in addressbook.VENUE_PREFIXES for kind in ("_URL", "_CONTROL_URL"))
    return (*venues, *databases, *brokers)


def _child_environment(
    environ: Mapping[str, str], found: Addresses, data_dir: Path, project: Path, supervisor: Supervisor
) -> dict[str, str]:
    inherited = {name: value for name, value in environ.items() if not name.startswith(KEY_PREFIX)}
    return supervisor.child_environment(
        {
            **inherited,
            **found.environment(),
            "TRADEAPP_DATA_DIR": str(data_dir),
            "DJANGO_SETTINGS_MODULE": "tradeapp.settings",
            "NUMBA_CACHE_DIR": environ.get("NUMBA_CACHE_DIR") or str(numba_cache.prepare(data_dir=data_dir, project=project)),
            "PYTHONUNBUFFERED": "1",
        }
    )


def _refuse_real_money(environ: Mapping[str, str]) -> None:
    mode = environment.choice(environ, "TRADING_MODE", environment.TRADING_MODES, "paper")
    if mode != "paper":
        raise UnableToStart(f"TRADING_MODE={mode} is not built yet (docs/roadmap.md): only paper trading runs in this release.")


def _demand_space(data_dir: Path) -> None:
    free = shutil.disk_usage(data_dir).free
    if free < FREE_BYTES_MIN:
        raise UnableToStart(
            f"Only {free // 1_000_000} MB are free in {data_dir}; the databases need at least {FREE_BYTES_MIN // 1_000_000} MB. "
            "Free some space, or set TRADEAPP_DATA_DIR to a larger disk."
        )


def main(arguments: Sequence[str]) -> int:
    """Run `up` from its command line words, without loading the whole project into the supervisor."""
    parser = argparse.ArgumentParser(prog="manage.py up", description="Start everything and keep it running.")
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except OSError as error:
        if error.errno not in DISK_IS_FULL:
            raise
        raise UnableToStart(
            f"The disk is full ({error.filename or 'data directory'}). Free some space and start again: nothing that was "
            "committed is lost."
        ) from error
