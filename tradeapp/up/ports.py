"""Choose loopback ports once and remember them; refuse a port that somebody else uses."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping

import psutil

from tradeapp import exposure
from tradeapp.up.trouble import UnableToStart

LOOPBACK = "127.0.0.1"


def check_host(host: str, environ: Mapping[str, str]) -> str:
    """Return the host if it is this machine only, or protected well enough to be shown to others."""
    found = exposure.troubles(host=host, environ=environ)
    if not found:
        return host
    words = [f"{trouble.code}: {trouble.says}. {trouble.remedy}" for trouble in found]
    tunnel = "Or keep --host 127.0.0.1 and use an SSH tunnel: ssh -L 8000:127.0.0.1:8000 this-machine."
    if exposure.is_loopback(host):
        raise UnableToStart(" ".join(words))
    raise UnableToStart(f"--host {host} would show the dashboard to other machines. " + " ".join([*words, tunnel]))


def demand_free(*, host: str, port: int, purpose: str, option: str) -> int:
    """Return the port if nobody listens there, else say who does and which option changes it."""
    if not 1 <= port <= 65535:
        raise UnableToStart(f"{option} {port} is not a port: use a number from 1 to 65535.")
    try:
        _bind(host, port)
    except OSError as error:
        raise UnableToStart(
            f"Port {port} on {host}, wanted for {purpose}, is not available ({error.strerror}{_user_of(port)}). "
            f"Stop that program or choose another port with {option}."
        ) from error
    return port


def remembered_or_free(*, remembered: int | None, taken: frozenset[int]) -> int:
    """Return the port of the last start if it is still free, else any free one."""
    if remembered and remembered not in taken:
        with contextlib.suppress(OSError):
            _bind(LOOPBACK, remembered)
            return remembered
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def _bind(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def _user_of(port: int) -> str:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f"; process {connection.pid}, {psutil.Process(connection.pid).name()}, listens there"
    return ""
