"""The embedded PostgreSQL: its cluster, its command line, its roles."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from tradeapp import server_addresses
from tradeapp.up import binaries
from tradeapp.up.binaries import PostgresPrograms
from tradeapp.up.layout import ServerPlaces
from tradeapp.up.server_account import ServerAccount
from tradeapp.up.trouble import UnableToStart

SUPERUSER = "postgres"
OWNER_ROLE = "tradeapp_owner"
PROCESS_ROLE = "tradeapp"
DATABASE = "tradeapp"
MAJOR_VERSION = "18"
IDENTITY_MAP = "tradeapp"
STOP_SECONDS = 4.0

# What a ledger needs is said even where it is the default: nobody should have to look it up.
CONFIGURATION = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "120",
    "shared_buffers": "128MB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_lock_waits": "on",
    "log_min_duration_statement": "2s",
    "idle_in_transaction_session_timeout": "60s",
    "client_connection_check_interval": "5s",
}

ROLES = f"""
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{OWNER_ROLE}') THEN
        CREATE ROLE {OWNER_ROLE} LOGIN CREATEDB;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{PROCESS_ROLE}') THEN
        CREATE ROLE {PROCESS_ROLE} LOGIN;
    END IF;
END $$;
ALTER ROLE {PROCESS_ROLE} SET statement_timeout = '60s';
ALTER ROLE {PROCESS_ROLE} SET lock_timeout = '15s';
"""  # constants of this module.  # noqa: S608  # nosec B608


@dataclass(frozen=True, slots=True)
class Postgres:
    """One embedded PostgreSQL server."""

    programs: PostgresPrograms
    cluster: Path
    sockets: Path
    account: ServerAccount

    def command(self, **configuration: str) -> list[str]:
        """Return the command line that runs the server in the foreground."""
        settings = CONFIGURATION | {"unix_socket_directories": str(self.sockets)} | configuration
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self.programs.bin / "postgres"), "-D", str(self.cluster), *options]

    def url(self, *, role: str, database: str = DATABASE) -> str:
        """Return the address of a database for a role."""
        return server_addresses.database_url(socket_directory=str(self.sockets), role=role, name=database)

    def is_created(self) -> bool:
        """Tell whether the cluster exists."""
        return (self.cluster / "PG_VERSION").exists()

    def create(self, *, sync: bool = True) -> None:
        """Create the cluster if there is none; an interrupted attempt is repeated from the beginning."""
        if self.is_created():
            self._refuse_other_version()
            return
        draft = self.cluster.with_name(f"{self.cluster.name}.draft")
        self._run(["rm", "-rf", str(draft)])
        options = ["--username", SUPERUSER, "--auth", "reject", "--encoding", "UTF8", "--data-checksums"]
        options += ["--locale-provider", "builtin", "--locale", "C.UTF-8", "--no-instructions"]
        options += [] if sync else ["--no-sync"]
        self._run([str(self.programs.bin / "initdb"), "-D", str(draft), *options])
        self._write(draft / "pg_hba.conf", f"local all all peer map={IDENTITY_MAP}\n")
        self._write(draft / "pg_ident.conf", self._identities())
        self._run(["mv", str(draft), str(self.cluster)])

    def allow_current_user(self) -> None:
        """Let the user who starts us, and the servers' account, in: the system vouches for them, no password exists."""
        self._write(self.cluster / "pg_ident.conf", self._identities())

    def clear_stale_lock(self) -> None:
        """Remove the lock file of a server that is gone, and end one that nobody supervises any more.

        The caller holds the data directory, so no other supervisor's server can be meant. PostgreSQL itself would mistake a
        stranger that got the old server's number for that server, and refuse to start.
        """
        lock = self.cluster / "postmaster.pid"
        try:
            pid = int(lock.read_text(encoding="utf-8").splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        with contextlib.suppress(psutil.Error):
            server = psutil.Process(pid)
            if str(self.cluster) in server.cmdline():
                server.send_signal(signal.SIGINT)
                psutil.wait_procs([server], timeout=STOP_SECONDS)
                return
        self._run(["rm", "-f", str(lock)])

    def is_ready(self) -> bool:
        """Tell whether the server accepts connections."""
        return self._psql("SELECT 1", database="postgres").returncode == 0

    def create_database(self) -> None:
        """Create roles and database; safe to repeat."""
        self._demand(self._psql(ROLES, database="postgres"))
        found = self._psql(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'", database="postgres")  # noqa: S608  # nosec B608
        if not found.stdout.strip():
            self._demand(self._psql(f"CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}", database="postgres"))

    def _psql(self, statement: str, *, database: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.programs.bin / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        command += ["-h", str(self.sockets), "-U", SUPERUSER, "-d", database, "-c", statement]
        return subprocess.run(
            command,
            env=self.programs.environment(),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            **self.account.process_user(),
        )

    def _identities(self) -> str:
        users = {self.account.name, getpass.getuser() if os.getuid() else "root"}
        roles = (SUPERUSER, OWNER_ROLE, PROCESS_ROLE)
        return "".join(f"{IDENTITY_MAP} {user} {role}\n" for user in sorted(users) for role in roles)

    def _refuse_other_version(self) -> None:
        found = self._run(["cat", str(self.cluster / "PG_VERSION")]).stdout.strip()
        if found != MAJOR_VERSION:
            raise UnableToStart(
                f"{self.cluster} was made by PostgreSQL {found}; this release runs {MAJOR_VERSION}. "
                "Restore a backup into a new data directory."
            )

    def _write(self, path: Path, text: str) -> None:
        self._run(["sh", "-c", 'umask 077; cat > "$0"', str(path)], text=text)

    def _run(self, command: list[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a step under the servers' account, so that every file is the server's own."""
        return self._demand(
            subprocess.run(
                command,
                env=self.programs.environment(),
                cwd="/",
                input=text,
                capture_output=True,
                text=True,
                timeout=120,
                **self.account.process_user(),
            )
        )

    def _demand(self, answer: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
        if answer.returncode:
            lines = [line for line in answer.stderr.splitlines() if line.strip()] or ["no reason given"]
            raise UnableToStart(
                f"The embedded PostgreSQL in {self.cluster.parent} could not be prepared: {' / '.join(lines[-3:])}. "
                "Check free space and permissions there."
            )
        return answer


def embedded(*, places: ServerPlaces, account: ServerAccount) -> Postgres:
    """Return the embedded server of a data directory."""
    programs = binaries.postgres_programs(places=places, account=account)
    return Postgres(programs=programs, cluster=places.postgres, sockets=places.sockets, account=account)
