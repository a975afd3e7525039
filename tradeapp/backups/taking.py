"""Take a backup while everything runs."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from tradeapp.backups import archive, database, state
from tradeapp.backups.archive import Manifest
from tradeapp.backups.places import Place

FOLDER = "backups"


def take(*, place: Place, target: Path | None, now: datetime) -> tuple[Path, Manifest]:
    """Copy database and files into one file, private to its owner.

    The database comes first: a local exchange that is copied later has at most gone on, and recovery catches up with that.
    """
    target = target or place.data_dir / FOLDER / f"tradeapp-{now:%Y%m%d-%H%M%S}.tar.gz"
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.parent) as folder:
        draft = Path(folder)
        with place.open_database() as url:
            version, heads = database.dump(url, draft / archive.DATABASE)
        state.copy_out(place.data_dir, draft / archive.STATE)
        manifest = Manifest(created_at=now.isoformat(), postgres=version, heads=heads)
        archive.pack(draft, manifest, target)
    return target, manifest
