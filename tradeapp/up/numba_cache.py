"""Where compiled strategies are cached: under a name that changes with the code they were compiled from."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

COMPILED_PACKAGES = ("trading", "strategies")


def prepare(*, data_dir: Path, project: Path) -> Path:
    """Return the cache directory of today's sources and drop those of older ones.

    numba looks at the changed file only; a runner that inlined a function of another file would keep executing the old code.
    """
    root = data_dir / "numba"
    current = root / source_hash(project)
    if root.is_dir():
        for old in root.iterdir():
            if old != current:
                shutil.rmtree(old, ignore_errors=True)
    current.mkdir(parents=True, exist_ok=True)
    return current


def source_hash(project: Path) -> str:
    """Return a hash over every source that compiled code may come from."""
    digest = hashlib.sha256()
    for package in COMPILED_PACKAGES:
        for path in sorted((project / package).rglob("*.py")):
            digest.update(str(path.relative_to(project)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
