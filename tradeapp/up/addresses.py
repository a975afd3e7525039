"""The addresses of one run, remembered in the data directory for the next run and for other commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tradeapp import exposure
from tradeapp.environment import ADDRESSES_FILE, remembered_addresses
from tradeapp.up import ports
from tradeapp.up.trouble import UnableToStart

VENUE_PREFIXES = ("VENUE", "SECOND_VENUE")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything of this run listens. Server addresses that the operator set are not stored: they may hold passwords."""

    host: str
    port: int
    venue_port: int
    control_port: int
    database_url: str
    owner_database_url: str
    redis_url: str
    # The second local exchange's address and its control's; none where there is one exchange.
    second: tuple[int, int] | None = None
    # The names people type, and whether they speak TLS to us.
    public_name: str = ""
    has_tls: bool = False

    @property
    def dashboard(self) -> str:
        """Return the address a person opens."""
        name = self.public_name or self.host
        host = f"[{name}]" if ":" in name else name
        return f"{'https' if self.has_tls else 'http'}://{host}:{self.port}"

    @property
    def probe(self) -> str:
        """Return the address at which this machine asks its own web process."""
        host = self.host if exposure.is_loopback(self.host) else ports.LOOPBACK
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self.has_tls else 'http'}://{host}:{self.port}"

    @property
    def venues(self) -> list[tuple[int, int]]:
        """Return the ports of each local exchange: its own, and its control's."""
        return [(self.venue_port, self.control_port), *([self.second] if self.second else [])]

    def environment(self) -> dict[str, str]:
        """Return what children need to know."""
        found = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}
        for prefix, (venue, control) in zip(VENUE_PREFIXES, self.venues, strict=False):
            found[f"{prefix}_URL"], found[f"{prefix}_CONTROL_URL"] = url_of(venue), url_of(control)
        return found


@dataclass(frozen=True, slots=True)
class LoopbackPorts:
    """The ports of one run."""

    host: str
    port: int
    venue: int
    control: int
    second: tuple[int, int] | None = None


def url_of(port: int) -> str:
    """Return the address of one of our own servers."""
    return f"http://{ports.LOOPBACK}:{port}"


def choose_ports(
    *,
    data_dir: Path,
    host: str,
    port: int,
    venue: int | None,
    control: int | None,
    environ: Mapping[str, str],
    has_second: bool = False,
) -> LoopbackPorts:
    """Return free ports: those asked for, else those of the last start, else any."""
    ports.check_host(host, environ)
    ports.demand_free(host=host, port=port, purpose="the dashboard", option="--port (make run PORT=...)")
    known = remembered_addresses(data_dir)
    taken = frozenset({port})
    venue = _internal(venue, known.get("VENUE_URL"), "the local exchange", "--venue-port", taken)
    control = _internal(
        control, known.get("VENUE_CONTROL_URL"), "the local exchange's control", "--control-port", taken | {venue}
    )
    second = None
    if has_second:
        taken |= {venue, control}
        beside = _internal(None, known.get("SECOND_VENUE_URL"), "the second local exchange", "", taken)
        second = beside, _internal(None, known.get("SECOND_VENUE_CONTROL_URL"), "its control", "", taken | {beside})
    return LoopbackPorts(host, port, venue, control, second)


def remember(*, data_dir: Path, addresses: Addresses, stored: tuple[str, ...]) -> None:
    """Write the addresses for the next start and for other commands."""
    content = {name: value for name, value in addresses.environment().items() if name in stored}
    content["DASHBOARD_URL"], content["DASHBOARD_HOST"] = addresses.dashboard, addresses.host
    draft = data_dir / f".{ADDRESSES_FILE}"
    try:
        draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
        draft.chmod(0o600)
        draft.replace(data_dir / ADDRESSES_FILE)
    except OSError as error:
        raise UnableToStart(f"{data_dir / ADDRESSES_FILE} cannot be written: {error.strerror}. Free some space.") from error


def _internal(asked: int | None, known_url: str | None, purpose: str, option: str, taken: frozenset[int]) -> int:
    if asked is not None:
        return ports.demand_free(host=ports.LOOPBACK, port=asked, purpose=purpose, option=option)
    remembered = urlsplit(known_url).port if known_url else None
    return ports.remembered_or_free(remembered=remembered, taken=taken)
