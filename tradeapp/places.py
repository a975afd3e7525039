"""Where this installation keeps its files: one data directory for each copy of the project."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parent.parent
STATE_ROOT = Path("/var/lib/tradeapp")


def data_directory(*, environ: Mapping[str, str], user_id: int, project: Path = PROJECT_DIR) -> Path:
    """Return the data directory: the configured one, else one that no other copy of the project shares."""
    configured = environ.get("TRADEAPP_DATA_DIR", "")
    if configured:
        return Path(configured).expanduser().absolute()
    if user_id == 0:
        # Several copies of the project may run on one machine as root.
        return STATE_ROOT / f"{project.name}-{short_hash(str(project))}"
    if os.access(project, os.W_OK):
        return project / "var"
    state_home = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "/")) / ".local" / "state")
    return Path(state_home) / "tradeapp" / f"{project.name}-{short_hash(str(project))}"


def short_hash(text: str) -> str:
    """Return eight characters that tell this text from others."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def package_directory(name: str) -> Path:
    """Return where a package is installed, without importing it."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"The package {name} is not installed; run `make run` to install what is needed.")
    return Path(spec.origin).parent
