"""Open an archive without trusting it."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from .trouble import BadArchive

# Deflate cannot do better than about 1030; real rows pack 3 to 60 times.
RATIO_MAX: Final = 250
SMALL_BYTES: Final = 16 << 20


@contextmanager
def opened(path: Path, stem: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open the one CSV of an archive, and answer its size; anything else is refused."""
    with path.open("rb") as file:
        head = file.read(512).lstrip()
    if not head.startswith(b"PK"):
        is_page = head[:15].lower().startswith((b"<!doctype", b"<html", b"<?xml"))
        raise BadArchive(f"{path.name} is {'a web page' if is_page else 'no zip'}, not an archive.")
    try:
        with zipfile.ZipFile(path) as archive:
            member = _only_member(archive, path.name, stem)
            with archive.open(member) as content:
                yield content, member.file_size
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # An encrypted member raises a bare RuntimeError.
        raise BadArchive(f"{path.name} is damaged: {error}.") from error


def _only_member(archive: zipfile.ZipFile, name: str, stem: str) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1:
        raise BadArchive(f"{name} holds {len(members)} files; one was expected.")
    member = members[0]
    # The exact name also refuses paths that lead outside and archives of another symbol.
    if member.filename != f"{stem}.csv":
        raise BadArchive(f"{name} holds {member.filename!r}; {stem}.csv was expected.")
    if member.file_size > SMALL_BYTES and member.file_size > RATIO_MAX * max(1, member.compress_size):
        raise BadArchive(f"{name} would unpack to {member.file_size >> 20} MB from {member.compress_size} bytes.")
    return member
