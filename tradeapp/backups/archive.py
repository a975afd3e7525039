"""The file of a backup: one tar with a manifest that vouches for every other member."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
DATABASE: Final = "database.dump"
STATE: Final = "state"
_BLOCK: Final = 1 << 20


class BadArchive(Exception):
    """Raised for a file that is no backup of ours, or not a whole one."""


@dataclass(frozen=True, slots=True)
class BooksHead:
    """Where the books of one account stood in the copy."""

    account: str
    deploy: str
    ledger_seq: int
    ledger_hash: str
    trades_posted: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    created_at: str
    postgres: str
    heads: list[BooksHead]
    files: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT


def pack(folder: Path, manifest: Manifest, target: Path) -> None:
    """Write a folder as one file; a crash leaves the earlier file of that name or the whole new one."""
    files = {str(path.relative_to(folder)): _digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest) | {"files": files}, indent=1), encoding="utf-8")
    draft = target.with_name(f".{target.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
            for name in (MANIFEST, *files):
                tar.add(folder / name, arcname=name, recursive=False)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)


def unpack(source: Path, folder: Path) -> Manifest:
    """Unpack a backup and check every member against the manifest."""
    try:
        with tarfile.open(source, mode="r:gz") as tar:
            for member in tar:
                _extract(tar, member, folder)
        said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(**said | {"heads": [BooksHead(**head) for head in said["heads"]]})
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError, EOFError) as error:
        raise BadArchive(f"{source} is no whole backup of this product: {error}") from error
    if manifest.format != FORMAT:
        raise BadArchive(f"{source} has format {manifest.format}; this release reads {FORMAT}.")
    _check(folder, manifest.files, source)
    return manifest


def as_json(manifest: Manifest) -> dict[str, Any]:
    """Say what a backup holds, without its list of files."""
    return {name: value for name, value in asdict(manifest).items() if name != "files"}


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one member, a plain file inside the folder: a link, a device or a way out is no part of a backup."""
    path = Path(member.name)
    content = tar.extractfile(member) if member.isreg() else None
    if content is None or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"member {member.name!r}")
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file)


def _check(folder: Path, files: Mapping[str, str], source: Path) -> None:
    found = {str(path.relative_to(folder)) for path in _members(folder)}
    if found != set(files) or DATABASE not in found:
        raise BadArchive(f"{source} does not hold what its manifest lists.")
    damaged = [name for name, digest in files.items() if _digest(folder / name) != digest]
    if damaged:
        raise BadArchive(f"{source} is damaged: {', '.join(sorted(damaged))}.")


def _members(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
