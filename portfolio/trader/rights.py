"""Ask the exchange what a key may do, in a process of its own: its client takes seconds to load, and a page has none."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import asdict
from typing import Final

from django.conf import settings

from exchange import redaction
from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import KeyPermissions
from portfolio.models import Account
from portfolio.trader import keys

ASK_SECONDS: Final = 60.0


class UnableToAsk(Exception):
    """Raised when the exchange did not say what a key may do."""

    code = "EXCHANGE_UNAVAILABLE"


def ask(account: Account, *, key: str, secret: str) -> KeyPermissions | None:
    """Return what a key may do; none where the exchange has no such question: the testnet."""
    if account.mode == Account.Mode.TESTNET:
        return None
    question = json.dumps({"account": account.pk, "key": key, "secret": secret})
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "key_rights"]
    try:
        # By standard input: arguments and environments can be read by others.
        done = subprocess.run(command, input=question, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        raise UnableToAsk("The exchange did not answer in time; nothing was stored.") from None
    if "trouble" in answer:
        raise UnableToAsk(f"{answer['trouble']} Nothing was stored.")
    return KeyPermissions(**answer)


def answer(question: str) -> str:
    """Ask the exchange and write down what it said; what it was asked with is never repeated."""
    asked = json.loads(question)
    redaction.remember(asked["key"])
    redaction.remember(asked["secret"])
    account = Account.objects.select_related("market").get(id=asked["account"])
    try:
        return json.dumps(asdict(asyncio.run(_permissions(account, asked["key"], asked["secret"]))))
    except ExchangeTrouble as trouble:
        return json.dumps({"trouble": redaction.redact(_words(trouble))})
    except keys.UnableToTrade as trouble:
        return json.dumps({"trouble": str(trouble)})


def _words(trouble: ExchangeTrouble) -> str:
    said = f"“{trouble.message}”" + (f" ({trouble.code})" if trouble.code is not None else "")
    if trouble.outcome is Outcome.KEY_INVALID:
        return f"The exchange does not accept this key: {said}. Compare key and secret, and the addresses that may use it."
    return f"The exchange did not say what this key may do: {said}."


async def _permissions(account: Account, key: str, secret: str) -> KeyPermissions:
    port = keys.open_port(account, key, secret)
    try:
        return await port.key_permissions()
    finally:
        await port.close()
