"""What live trading waits for: every item is looked at where it stands, and names the tests that prove it."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured

from exchange import redaction
from exchange.ports import KeyPermissions
from exchange.rights import trouble_with
from exchange.secrets import MasterKeyMissing, SealBroken, credential_context, unseal
from portfolio.models import Account, Credential
from portfolio.selectors.risk import limits_in_force
from tradeapp import environment, exposure, second_factor

# A right that was asked about earlier may have been changed since.
RIGHTS_FRESH_FOR: Final = timedelta(days=1)
_CANARY: Final = "canary-of-the-live-gate"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one item stands."""

    item: str
    title: str
    trouble: str

    @property
    def is_satisfied(self) -> bool:
        """Say whether live trading need not wait for this."""
        return not self.trouble


def standings(*, now: datetime) -> list[Standing]:
    """Return how every item stands."""
    return [
        Standing("S01", "keys that may take money out are refused", _rights(now)),
        Standing("S02", "one key reads, another trades", _separate_keys()),
        Standing("S03", "keys are sealed", _sealed()),
        Standing("S04", "keys are in the store and nowhere else", _no_key_in_the_environment()),
        Standing("S05", "secrets are masked", _redacted()),
        Standing("S06", "nobody buys where too little is traded", _thin_markets()),
        Standing("S10", "the dashboard is local, or protected", _exposure()),
        Standing("S11", "nobody has a password that everybody tries", _no_default_account()),
        Standing("S12", "servers are local, or ask for a password", _servers()),
        Standing("S13", "guessing is slow", _throttle()),
        Standing("S14", "operators and administrators have a second factor", _second_factors()),
    ]


def demand(*, now: datetime) -> None:
    """Refuse live trading with everything it waits for."""
    waiting = [f"{standing.item} {standing.title}: {standing.trouble}" for standing in standings(now=now) if standing.trouble]
    if waiting:
        raise ImproperlyConfigured("Live trading does not start. " + " ".join(waiting) + " Paper and testnet do start.")


def demand_second_factors() -> None:
    """Refuse to show the dashboard to other machines while somebody who can change something has a password alone."""
    staff = User.objects.filter(is_active=True, is_staff=True)
    without = [user.get_username() for user in staff if not second_factor.is_set_up(user)]
    if without or not staff.exists():
        raise ImproperlyConfigured(
            f"{', '.join(without) or 'Nobody'} has no second factor yet: start with --host 127.0.0.1, sign in, set one up on the "
            "page Security, then start again for other machines."
        )


def _live() -> list[Credential]:
    return list(Credential.objects.filter(account__mode=Account.Mode.LIVE, account__is_enabled=True).select_related("account"))


def _rights(now: datetime) -> str:
    for key in _live():
        if key.trouble:
            return f"the {key.role} key of {key.account} is refused: {key.trouble}."
        if key.checked_at is None or now - key.checked_at > RIGHTS_FRESH_FOR:
            return f"nobody asked the exchange lately what the {key.role} key of {key.account} may do: store it again."
        trouble = trouble_with(KeyPermissions(**key.rights), role=key.role)
        if trouble:
            return trouble
    return ""


def _separate_keys() -> str:
    for account in Account.objects.filter(mode=Account.Mode.LIVE, is_enabled=True):
        roles = set(Credential.objects.filter(account=account).values_list("role", flat=True))
        if not {Credential.Role.READ, Credential.Role.TRADE} <= roles:
            return f"{account} needs a key that reads and another that trades."
    return ""


def _sealed() -> str:
    path = settings.MASTER_KEY_FILE
    if not path.exists():
        return f"the master key {path} is missing."
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return f"others may read {path}: chmod 600 {path}."
    for key in Credential.objects.all():
        try:
            unseal(key.sealed, context=credential_context(key.account_id, key.role), key_file=path)
        except (MasterKeyMissing, SealBroken) as error:
            return str(error)
    return ""


def _no_key_in_the_environment() -> str:
    names = sorted(name for name in settings.ENVIRON if name.startswith("BINANCE_API_"))
    return f"{', '.join(names)} still stand in the environment." if names else ""


def _redacted() -> str:
    redaction.remember(_CANARY)
    return "" if _CANARY not in redaction.redact(f"key={_CANARY}") else "secrets are not masked in logs."


def _thin_markets() -> str:
    names = []
    for account in Account.objects.filter(is_enabled=True, mode=Account.Mode.LIVE).order_by("name"):
        limits, of_books = limits_in_force(account.pk)
        if limits is None or not all(row.volume_day_min for row in (limits, *of_books.values())):
            names.append(account.name)
    return f"Set the least traded a day on the Risk page for: {', '.join(names)}." if names else ""


def _exposure() -> str:
    host = environment.remembered_addresses(settings.TRADEAPP_DATA_DIR).get("DASHBOARD_HOST", "127.0.0.1")
    found = [trouble.says for trouble in exposure.troubles(host=host, environ=settings.ENVIRON)]
    return "; ".join(found) + "." if found else ""


def _no_default_account() -> str:
    weak = ("admin", "password", "changeme", "tradeapp", "test")
    guessable = [user.get_username() for user in User.objects.filter(is_active=True) if any(map(user.check_password, weak))]
    return f"{', '.join(guessable)} have a password that everybody tries first." if guessable else ""


def _servers() -> str:
    found = [trouble.says for trouble in exposure.server_troubles(settings.ENVIRON)]
    return "; ".join(found) + "." if found else ""


def _throttle() -> str:
    is_on = "axes.backends.AxesStandaloneBackend" in settings.AUTHENTICATION_BACKENDS
    is_both = {"username", "ip_address"} <= set(settings.AXES_LOCKOUT_PARAMETERS)
    return "" if is_on and is_both else "failed sign-ins are not counted by name and by place."


def _second_factors() -> str:
    try:
        demand_second_factors()
    except ImproperlyConfigured as trouble:
        return str(trouble)
    return ""
