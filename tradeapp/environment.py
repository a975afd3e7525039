"""Read the environment strictly: `.env`, `*_FILE` secrets, and no unknown name of ours."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

import environ as django_environ
from django.core.exceptions import ImproperlyConfigured

OWN_NAMES = frozenset(
    {
        "TRADEAPP_DATA_DIR",
        "TRADEAPP_MASTER_KEY_FILE",
        # TLS for people on other machines: a certificate and its key, or the address of the proxy that ends TLS.
        "TRADEAPP_TLS_CERTIFICATE",
        "TRADEAPP_TLS_KEY",
        "TRADEAPP_TRUSTED_PROXY",
        # Where Prometheus may scrape: the web process on this port of loopback, the trader of account 3 on this plus 3.
        "TRADEAPP_METRICS_PORT",
        # Set by `up` for its children: which process this is.
        "TRADEAPP_PROCESS",
        # Set by `up` too: whose child this is, so that leftovers are recognised.
        "TRADEAPP_SUPERVISOR",
    }
)
SECRET_NAMES = ("SECRET_KEY", "DATABASE_URL", "REDIS_URL")
TRADING_MODES = ("paper", "testnet", "live")
ALLOCATION_MODES = ("single", "rotation", "percentage", "subaccounts")
ADDRESSES_FILE = "addresses.json"


def load_dotenv(path: Path) -> None:
    """Add the settings of a `.env` file; what the environment already says wins."""
    if path.is_file():
        django_environ.Env.read_env(str(path))


def read_secret_files(environ: MutableMapping[str, str]) -> None:
    """Replace every `NAME_FILE` of a known secret by the content of that file."""
    for name in SECRET_NAMES:
        path = environ.pop(f"{name}_FILE", "")
        if not path:
            continue
        if environ.get(name):
            raise ImproperlyConfigured(f"Both {name} and {name}_FILE are set: keep one of them.")
        try:
            environ[name] = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.") from error


def refuse_unknown_names(environ: Mapping[str, str]) -> None:
    """Refuse a `TRADEAPP_*` name that nothing reads: it is a typing error in somebody's safety setting."""
    for name in sorted(environ):
        if name.startswith("TRADEAPP_") and name not in OWN_NAMES:
            raise ImproperlyConfigured(f"Unknown setting {name}.{_closest(name, OWN_NAMES)}")


def choice(environ: Mapping[str, str], name: str, options: tuple[str, ...], default: str) -> str:
    """Return a setting that must be one of the options."""
    value = environ.get(name, "") or default
    if value not in options:
        raise ImproperlyConfigured(
            f"{name}={value} is not known: use one of {', '.join(options)}.{_closest(value, frozenset(options))}"
        )
    return value


def port(environ: Mapping[str, str], name: str) -> int:
    """Return the port that a setting names; 0 when it names none."""
    value = environ.get(name, "") or "0"
    if not (value.isascii() and value.isdigit() and len(value) <= 5 and int(value) < 65_536):
        raise ImproperlyConfigured(f"{name}={value} is no port: write a number from 1 to 65535, or nothing.")
    return int(value)


def remembered_addresses(data_dir: Path) -> dict[str, str]:
    """Return the addresses that `up` chose for this data directory, so that other commands find its servers."""
    try:
        content = json.loads((data_dir / ADDRESSES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in content.items()} if isinstance(content, dict) else {}


def load(project: Path) -> MutableMapping[str, str]:
    """Return the checked environment."""
    if os.environ.get("TRADEAPP_PROCESS") != "test":
        load_dotenv(project / ".env")
    read_secret_files(os.environ)
    refuse_unknown_names(os.environ)
    return os.environ


def _closest(value: str, known: frozenset[str]) -> str:
    found = difflib.get_close_matches(value, sorted(known), n=1, cutoff=0.5)
    return f" Did you mean {found[0]}?" if found else f" Known: {', '.join(sorted(known))}."
