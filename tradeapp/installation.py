"""Bring an installation up to date: tables, grants, the master key, the demo account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection

from bots import lineups
from marketdata.selectors import markets_to_feed
from portfolio.models import Credential, Heartbeat
from portfolio.selectors import accounts_to_trade
from tradeapp import secret_files, sign_in

# One role owns the tables; the processes use another, which can neither truncate a journal nor drop its triggers.
GRANTS = (
    "GRANT USAGE ON SCHEMA public TO tradeapp",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO tradeapp",
    "GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO tradeapp",
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `up` needs to know to go on."""

    accounts: list[int]
    markets: list[int]
    sign_in_link: str
    notes: list[str] = field(default_factory=list)


def prepare(*, base_url: str, demo: bool, master_key_file: Path, now: datetime) -> Prepared:
    """Migrate, grant, make the master key and the demo account, and say which processes to run. Safe to repeat."""
    call_command("migrate", verbosity=0, interactive=False)
    grant_to_processes()
    make_master_key(master_key_file)
    # Signs of life of an earlier run would say that processes live which have not started yet.
    Heartbeat.objects.all().delete()
    if demo:
        call_command("setup_demo", verbosity=0)
    return Prepared(
        accounts=list(accounts_to_trade()),
        markets=list(markets_to_feed()),
        sign_in_link=sign_in.create_sign_in_link(now=now, base_url=base_url),
    )


def refuse_bad_bot_settings(*, active_bot: str, percents: Mapping[str, str]) -> None:
    """Refuse settings that would have the wrong bot trade: that is worse than not starting."""
    plan = lineups.load()
    try:
        if active_bot:
            lineups.find(active_bot, plan.bots, lineups.aliases_of(plan))
        lineups.seeded(plan, percents)
    except (lineups.UnknownBot, lineups.BadPlan) as error:
        raise ImproperlyConfigured(str(error)) from error


def grant_to_processes() -> None:
    """Let the processes' role use what the owner's role made, where there are two roles."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = 'tradeapp' AND rolname <> current_user")
        if cursor.fetchone():
            for statement in GRANTS:
                cursor.execute(statement)


def make_master_key(path: Path) -> None:
    """Make the key that seals exchange keys; never a second one while sealed rows exist."""
    if not path.exists() and Credential.objects.exists():
        raise ImproperlyConfigured(
            f"The master key {path} is missing, but exchange keys sealed with it are stored. Restore the file from your "
            "backup, or name it with TRADEAPP_MASTER_KEY_FILE. A new key could not open them."
        )
    secret_files.read_or_create(path, lambda: Fernet.generate_key().decode())
