"""Compile the numeric core with numba, cached per version of its sources."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])

_PACKAGES = ("trading", "strategies")
_ROOT = Path(__file__).resolve().parent.parent


def sources_hash() -> str:
    """Fingerprint every source file that compiled code may be made of."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            digest.update(str(path.relative_to(_ROOT)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


# No compiled function counts references: counted atomically at every call, for every array handed
# over, they took three quarters of a backtest's time. The price is that it may make no arrays.
_COMPILED: Final[dict[str, Any]] = {"cache": True, "_nrt": False}
# Dividing as the hardware does leaves no branch in loops that could otherwise use vectors.
_KERNEL: Final[dict[str, Any]] = {**_COMPILED, "nogil": True, "error_model": "numpy"}


def compiled(function: Function) -> Function:
    """Compile the function on first use and keep the machine code on disk; it may make no arrays."""
    return _compile(function, **_COMPILED)


def spliced(function: Function) -> Function:
    """Compile the function into each of its callers, which spares the handing over of what it reads."""
    return _compile(function, forceinline=True, **_COMPILED)


def allocating(function: Function) -> Function:
    """Compile a function that makes arrays."""
    return _compile(function, cache=True)


def kernel(function: Function) -> Function:
    """Compile a loop that several threads may run at once."""
    return _compile(function, **_KERNEL)


def inlined(function: Function) -> Function:
    """Compile a small part of such a loop into each of its callers."""
    return _compile(function, forceinline=True, **_KERNEL)


def _compile(function: Function, **options: Any) -> Function:
    njit: Any = numba.njit
    return cast("Function", njit(**options)(function))


def interpreted(function: Function) -> Function:
    """Give back the plain Python function behind a compiled one."""
    plain: Function = getattr(function, "py_func", function)
    return plain


def _cache_directory() -> Path:
    # numba notices a change in the file of the outermost function only. A runner would keep
    # executing an old step after a strategy was edited, so each version has a folder of its own.
    root = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(root) if root else _ROOT / "var" / "numba"
    folder = base / sources_hash()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"tradeapp-numba-{os.getuid()}" / folder.name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


_config: Any = numba.config
_config.CACHE_DIR = str(_cache_directory())
