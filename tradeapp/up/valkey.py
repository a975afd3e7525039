"""The embedded Valkey: broker, channel layer and cache. Nothing in it is the truth, so it writes nothing down."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from tradeapp.up import binaries
from tradeapp.up.layout import ServerPlaces
from tradeapp.up.server_account import ServerAccount

SOCKET_NAME = "valkey.sock"


@dataclass(frozen=True, slots=True)
class Valkey:
    """One embedded Valkey server on a unix socket."""

    program: Path
    directory: Path
    socket_path: Path
    account: ServerAccount

    def command(self) -> list[str]:
        """Return the command line that runs the server in the foreground."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "save": "",
            "appendonly": "no",
            "maxmemory": "256mb",
            # Only what has a time to live may be dropped: never a message in a queue.
            "maxmemory-policy": "volatile-lru",
            "daemonize": "no",
        }
        return [str(self.program), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def url(self, database: int = 0) -> str:
        """Return the address as redis-py reads it."""
        return f"unix://{self.socket_path}?db={database}"

    def is_ready(self) -> bool:
        """Tell whether the server answers a PING."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False


def embedded(*, places: ServerPlaces, account: ServerAccount) -> Valkey:
    """Return the embedded server of a data directory."""
    program = binaries.valkey_program(places=places, account=account)
    return Valkey(program, places.valkey, places.sockets / SOCKET_NAME, account)
