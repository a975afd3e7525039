"""A trader and a database that do not belong together: nothing is traded."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from portfolio.models import Lease
from tests.portfolio.world import build

pytestmark = [pytest.mark.django_db, pytest.mark.fault("C16", "D15")]


def test_a_trader_does_not_start_while_a_migration_waits() -> None:
    world = build()
    (newest,) = (name for app, name in MigrationExecutor(connection).loader.graph.leaf_nodes() if app == "portfolio")
    MigrationRecorder(connection).record_unapplied("portfolio", newest)
    with pytest.raises(CommandError, match=rf"1 migrations wait \(portfolio\.{newest}\)"):
        call_command("run_trader", account=world.account_id)
    assert Lease.objects.get(name=f"trader:{world.account_id}").epoch == 1
