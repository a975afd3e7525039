"""Whether the tables are the ones that this code was written for (C16)."""

from __future__ import annotations

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from portfolio.trader.keys import UnableToTrade


def check_migrated() -> None:
    """Raise UnableToTrade while migrations wait, or half of them have been applied."""
    executor = MigrationExecutor(connection)
    waiting = [str(migration) for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    if waiting:
        raise UnableToTrade(
            f"The tables are older than this program: {len(waiting)} migrations wait ({', '.join(waiting[:3])}). "
            "`make run` applies them; `python manage.py migrate` does without a start."
        )
