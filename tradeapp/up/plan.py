"""Which processes a run consists of, and the command line of each."""

from __future__ import annotations

import signal
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tradeapp import exposure
from tradeapp.up.addresses import Addresses, url_of
from tradeapp.up.child import ProcessSpec
from tradeapp.up.live_source import LiveSource
from tradeapp.up.market import MarketChoice
from tradeapp.up.postgres import Postgres
from tradeapp.up.valkey import Valkey

PROBE_SECONDS = 2.0
WRITERS, VENUE, SERVERS = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the processes of one run have in common."""

    project: Path
    data_dir: Path
    addresses: Addresses
    environment: Mapping[str, str]

    def postgres(self, server: Postgres, token_environment: Mapping[str, str]) -> ProcessSpec:
        """Run the embedded PostgreSQL; SIGINT is its fast shutdown."""
        return ProcessSpec(
            name="postgres",
            command=server.command(),
            environment={**server.programs.environment(), **token_environment},
            directory=Path("/"),
            account=server.account,
            end_signal=signal.SIGINT,
            stop_phase=SERVERS,
            note=f"PostgreSQL 18 in {server.cluster}",
            is_ready=server.is_ready,
        )

    def valkey(self, server: Valkey, token_environment: Mapping[str, str]) -> ProcessSpec:
        """Run the embedded Valkey."""
        return ProcessSpec(
            name="valkey",
            command=server.command(),
            environment=token_environment,
            directory=Path("/"),
            account=server.account,
            stop_phase=SERVERS,
            note="broker, cache and stream",
            is_ready=server.is_ready,
        )

    def venue(self, choice: MarketChoice, *, demo: bool, number: int = 1) -> ProcessSpec:
        """Run a local exchange; with the demo its market begins when the demo's trader is there."""
        port, control_port = self.addresses.venues[number - 1]
        return self._python(
            numbered("venue", number),
            "-m",
            "venue",
            "--data-dir",
            str(self.data_dir / numbered("venue", number).replace(" ", "-")),
            "--port",
            str(port),
            "--control-port",
            str(control_port),
            *choice.arguments(),
            *(["--wait-for-client"] if demo else []),
            stop_phase=VENUE,
            note=f"local exchange, {choice.market} market at {choice.speed:g} x",
            is_ready=answers(f"{url_of(control_port)}/control/clock"),
        )

    def mirror(self, source: LiveSource, *, number: int = 1) -> ProcessSpec:
        """Tell a local exchange what happens on a real one; ready when its history is told."""
        control_url = url_of(self.addresses.venues[number - 1][1])
        return self._python(
            numbered("mirror", number),
            "-m",
            "marketdata.mirror",
            "tell",
            *source.words(),
            "--control-url",
            control_url,
            note=f"live prices of {source.exchange}",
            is_ready=answers(f"{control_url}/control/mirror/open"),
        )

    def preparation(self, *, demo: bool) -> ProcessSpec:
        """Bring the database up to date, as the role that owns its tables."""
        flags = [] if demo else ["--no-demo"]
        flags += [] if exposure.is_loopback(self.addresses.host) else ["--exposed"]
        spec = self._manage("prepare", "prepare", "--base-url", self.addresses.dashboard, *flags)
        owner = {**spec.environment, "DATABASE_URL": self.addresses.owner_database_url}
        return ProcessSpec(name=spec.name, command=spec.command, environment=owner, directory=spec.directory)

    def web(self) -> ProcessSpec:
        """Serve pages, API and stream."""
        return self._python(
            "web",
            "-m",
            "uvicorn",
            "tradeapp.asgi:application",
            "--host",
            self.addresses.host,
            "--port",
            str(self.addresses.port),
            "--lifespan",
            "off",
            "--no-server-header",
            # It would write the path of one-time links down.
            "--no-access-log",
            *self._door(),
            "--timeout-graceful-shutdown",
            "2",
            note=self.addresses.dashboard,
            is_ready=answers(f"{self.addresses.probe}/api/v1/ready"),
        )

    def _door(self) -> list[str]:
        """Return how the web process speaks to the world: TLS of its own, or a proxy whose word counts; else nobody's."""
        certificate, key = (self.environment.get(name, "") for name in (exposure.TLS_CERTIFICATE, exposure.TLS_KEY))
        proxy = self.environment.get(exposure.TRUSTED_PROXY, "")
        own = ["--ssl-certfile", certificate, "--ssl-keyfile", key] if certificate else []
        return [*own, *(["--proxy-headers", "--forwarded-allow-ips", proxy] if proxy else ["--no-proxy-headers"])]

    def feed(self, market_id: int) -> ProcessSpec:
        """Bring candles and marks of one market in."""
        return self._manage(f"feed {market_id}", "run_feed", "--market", str(market_id), note="candles and marks")

    def trader(self, account_id: int) -> ProcessSpec:
        """Send one account's orders, and guard it."""
        return self._manage(f"trader {account_id}", "run_trader", "--account", str(account_id), note="orders and safety")

    def worker(self, queue: str, *, concurrency: int) -> ProcessSpec:
        """Run a Celery worker for one queue."""
        return self._celery(
            f"worker {queue}",
            "worker",
            "-Q",
            queue,
            "-n",
            f"{queue}@%h",
            "-c",
            str(concurrency),
            "--without-gossip",
            "--without-mingle",
            "-l",
            "INFO",
            note=f"Celery, {concurrency} at a time",
        )

    def beat(self) -> ProcessSpec:
        """Run the schedule of sweeps."""
        scheduler = "django_celery_beat.schedulers:DatabaseScheduler"
        return self._celery("beat", "beat", "--scheduler", scheduler, "--pidfile=", "-l", "INFO", note="schedule")

    def _manage(self, name: str, *words: str, note: str = "") -> ProcessSpec:
        return self._python(name, str(self.project / "manage.py"), *words, note=note)

    def _celery(self, name: str, *words: str, note: str) -> ProcessSpec:
        return self._python(name, "-m", "celery", "-A", "tradeapp", "--quiet", *words, note=note)

    def _python(
        self,
        name: str,
        *words: str,
        note: str = "",
        stop_phase: int = WRITERS,
        is_ready: Callable[[], bool] | None = None,
    ) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            command=[sys.executable, *words],
            environment={**self.environment, "TRADEAPP_PROCESS": name},
            directory=self.project,
            note=note,
            stop_phase=stop_phase,
            is_ready=is_ready,
        )


def numbered(name: str, number: int) -> str:
    """Name the first of several processes as the only one is named."""
    return name if number == 1 else f"{name} {number}"


def answers(url: str) -> Callable[[], bool]:
    """Return a question: does this loopback address answer 200?"""
    # Never through a proxy of the environment. A certificate names its public host, and this is a question over loopback.
    itself = ssl.create_default_context()
    itself.check_hostname, itself.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=itself))

    def ask() -> bool:
        try:
            with opener.open(url, timeout=PROBE_SECONDS) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, OSError):
            return False

    return ask
