"""Who may do what: every operation of the API, every page, every record of the admin, every word of the stream.

What is not named here needs an administrator, and `make check` fails until somebody has decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a person is here."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Confirm(StrEnum):
    """Whether an operation wants a person who has just proven again who they are."""

    NO = "no"
    # Of everybody who has a password or a second factor to do it with.
    ASKED = "asked"
    # Of everybody: a session alone must not be enough to hand out keys or rights.
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Access:
    """What an operation needs; no scope at all means that strangers may."""

    scope: str | None
    confirm: Confirm = Confirm.NO


SCOPES: Final = ("read", "bots:write", "trade", "risk", "admin")
ROLE_SCOPES: Final = {
    Role.VIEWER: frozenset({"read"}),
    Role.OPERATOR: frozenset(SCOPES) - {"admin"},
    Role.ADMIN: frozenset(SCOPES),
}
UNLISTED: Final = Access("admin", Confirm.ALWAYS)

_READ: Final = Access("read")
_OPERATIONS_READ: Final = (
    "me",
    "events",
    "accounts",
    "accounts/{account_id}/balances",
    "accounts/{account_id}/reconciliation",
    "accounts/{account_id}/equity",
    "subaccounts",
    "subaccounts/transfers",
    "subaccounts/rebalancing",
    "pnl",
    "positions",
    "orders",
    "fills",
    "trades",
    "reservations",
    "ledger",
    "audit",
    "allocations",
    "allocations/versions",
    "alarms",
    "coordinator",
    "conflicts",
    "lineups",
    "lineups/export",
    "gates",
    "bots/{bot_id}/gates",
    "risk",
    "kill",
    "bots",
    "bots/{bot_id}",
    "bots/{bot_id}/decisions",
    "bots/{bot_id}/equity",
    "bots/{bot_id}/drift",
    "bots/{bot_id}/results",
    "bots/{bot_id}/pairs",
    "bots/{bot_id}/indicators",
    "pairs",
    "strategies",
    "mode",
    "rotation",
    "backtests",
    "backtests/{run_id}",
    "backtests/{run_id}/report",
    "backtests/{run_id}/candles",
    "backtests/{run_id}/file",
    "sweeps",
    "sweeps/{sweep_id}",
    "sweeps/{sweep_id}/heatmap",
    "sweeps/{sweep_id}/trials",
    "simulations",
    "simulations/{comparison_id}",
    "simulations/{comparison_id}/curves",
    "simulations/{comparison_id}/file",
    "trials",
    "trials/{trial_id}",
    "trials/{trial_id}/turns",
    "trials/{trial_id}/comparison",
    "history/coverage",
    "history/series",
    "history/calendar",
    "history/fetches",
    "history/fetches/{job_id}",
    "history/fetches/{job_id}/file",
    "history/imports",
    "instruments",
    "instruments/{instrument_id}/filters",
    "comparisons",
    "candles",
    "sentiment",
    "tokens",
    "sessions",
)
# By method and address as OpenAPI writes it, without /api/v1/.
OPERATIONS: Final[dict[str, Access]] = {
    "GET health": Access(None),
    "GET ready": Access(None),
    **{f"GET {address}": _READ for address in _OPERATIONS_READ},
    "POST tokens": Access("admin", Confirm.ALWAYS),
    # What people do about themselves is theirs, whatever their role.
    "POST confirmation": _READ,
    "POST second-factor": Access("read", Confirm.ALWAYS),
    "POST second-factor/confirm": _READ,
    "DELETE second-factor": Access("read", Confirm.ALWAYS),
    "PUT password": Access("read", Confirm.ALWAYS),
    "DELETE sessions/{name}": _READ,
    "GET accounts/{account_id}/keys": Access("admin"),
    "PUT accounts/{account_id}/keys/{role}": Access("admin", Confirm.ALWAYS),
    "DELETE accounts/{account_id}/keys/{role}": Access("admin", Confirm.ALWAYS),
    "GET users": Access("admin"),
    "POST users": Access("admin", Confirm.ALWAYS),
    "PATCH users/{user_id}": Access("admin", Confirm.ALWAYS),
    "DELETE users/{user_id}/second-factor": Access("admin", Confirm.ALWAYS),
    "DELETE tokens/{token_id}": Access("admin"),
    "POST reconciliation/{account_id}/explain": Access("risk"),
    "POST allocations/preview": Access("trade"),
    # More than before asks for a confirmation in the service.
    "PUT allocations": Access("trade"),
    "POST allocations": Access("trade"),
    "POST allocations/rebase": Access("trade"),
    "POST orders/{order_id}/cancel": Access("trade"),
    "POST deficits/cover": Access("risk"),
    "POST lineups/preview": Access("trade"),
    "POST lineups/apply": Access("trade"),
    "POST allocations/rollback": Access("trade"),
    "POST subaccounts/transfers/preview": Access("trade"),
    "POST subaccounts/transfers": Access("trade", Confirm.ASKED),
    "POST subaccounts/limits": Access("risk"),
    "POST subaccounts/targets": Access("trade"),
    "POST subaccounts/rebalancing": Access("trade", Confirm.ASKED),
    "POST kill": Access("risk"),
    "POST kill/release": Access("admin", Confirm.ASKED),
    "POST risk/limits": Access("risk"),
    "POST risk/limits/preview": Access("risk"),
    "POST alarms/{alarm_id}/acknowledge": Access("risk"),
    "POST risk/release": Access("admin", Confirm.ASKED),
    "POST bots/{bot_id}/start": Access("bots:write"),
    "POST bots/{bot_id}/stop": Access("bots:write"),
    "POST bots/{bot_id}/pause": Access("bots:write"),
    "POST bots/{bot_id}/resume": Access("bots:write"),
    "POST bots/{bot_id}/flatten": Access("bots:write"),
    "POST pairs": Access("bots:write"),
    "PUT mode": Access("trade"),
    "POST mode": Access("trade"),
    "POST mode/preview": Access("trade"),
    "POST rotation/read": Access("trade"),
    "PUT rotation": Access("trade"),
    "POST rotation": Access("trade"),
    "POST backtests": Access("bots:write"),
    "POST backtests/{run_id}/cancel": Access("bots:write"),
    "POST sweeps": Access("bots:write"),
    "POST sweeps/{sweep_id}/cancel": Access("bots:write"),
    "POST simulations": Access("bots:write"),
    "POST simulations/{comparison_id}/cancel": Access("bots:write"),
    "POST trials": Access("trade"),
    "POST trials/{trial_id}/cancel": Access("trade"),
    "POST trials/{trial_id}/resume": Access("trade"),
    "POST trials/{trial_id}/preview": Access("trade"),
    # More than before asks for a confirmation in the service of the shares.
    "POST trials/{trial_id}/apply": Access("trade"),
    "POST history/fetches": Access("admin"),
    "POST history/fetches/{job_id}/cancel": Access("admin"),
    "POST history/verifications": Access("admin"),
    "POST history/imports": Access("admin"),
    "POST history/exports": Access("admin"),
    "PUT sentiment/{name}": Access("admin"),
}

# By view name. None: strangers may, too.
PAGES: Final[dict[str, Role | None]] = {
    "pages:overview": Role.VIEWER,
    "pages:bot": Role.VIEWER,
    "pages:orders": Role.VIEWER,
    "pages:allocation": Role.VIEWER,
    "pages:coordinator": Role.VIEWER,
    "pages:alarms": Role.VIEWER,
    "pages:reconcile": Role.VIEWER,
    "pages:risk": Role.VIEWER,
    "pages:modes": Role.VIEWER,
    "pages:sub_accounts": Role.VIEWER,
    "pages:arbitrage": Role.VIEWER,
    "pages:system": Role.VIEWER,
    "pages:backtests": Role.VIEWER,
    "pages:backtest": Role.VIEWER,
    "pages:sweeps": Role.VIEWER,
    "pages:sweep": Role.VIEWER,
    "pages:comparisons": Role.VIEWER,
    "pages:comparison": Role.VIEWER,
    "pages:trials": Role.VIEWER,
    "pages:trial": Role.VIEWER,
    "pages:history": Role.VIEWER,
    "pages:markets": Role.VIEWER,
    "pages:sources": Role.VIEWER,
    "pages:part": Role.VIEWER,
    "pages:security": Role.VIEWER,
    "pages:confirm": Role.VIEWER,
    "pages:audit": Role.VIEWER,
    "pages:login": None,
    "pages:logout": None,
    "pages:favicon": None,
    "sign_in_by_link": None,
    "api:openapi-json": Role.VIEWER,
    "api:openapi-view": Role.VIEWER,
    "api:api-root": None,
}

# By record, who sees it in the admin and who may run which of its actions; what is not named, nobody but administrators may,
# and where a record is for reading they cannot either.
_SHOWN: Final = {"view": Role.OPERATOR}
ADMIN: Final[dict[str, dict[str, Role]]] = {
    **dict.fromkeys(
        (
            "marketdata.Market",
            "marketdata.Instrument",
            "portfolio.Allocation",
            "portfolio.AllocationVersion",
            "portfolio.LedgerTransaction",
            "portfolio.LedgerAccount",
            "portfolio.Order",
            "portfolio.Fill",
            "portfolio.DecisionRecord",
            "portfolio.Position",
            "portfolio.Reservation",
            "portfolio.Reconciliation",
            "portfolio.AuditEntry",
            "portfolio.HandOver",
            "portfolio.BookTransfer",
            "portfolio.RiskDay",
            "portfolio.RiskLatch",
            "portfolio.Alarm",
            "django_celery_beat.PeriodicTask",
            "trials.TrialLeg",
        ),
        _SHOWN,
    ),
    "portfolio.ModeVersion": _SHOWN | {"add": Role.OPERATOR},
    "portfolio.RiskLimits": _SHOWN | {"add": Role.OPERATOR},
    "portfolio.AccountTransfer": _SHOWN | {"add": Role.OPERATOR},
    "portfolio.Account": _SHOWN | {"change": Role.OPERATOR, "kill": Role.OPERATOR, "release_kill": Role.ADMIN},
    "bots.Bot": _SHOWN | dict.fromkeys(("start", "stop", "pause", "resume", "flatten"), Role.OPERATOR),
    "trials.Trial": _SHOWN | dict.fromkeys(("cancel", "resume", "apply"), Role.OPERATOR),
    "auth.User": {"view": Role.ADMIN, "disable": Role.ADMIN, "enable": Role.ADMIN},
}

# What a browser may say on the stream.
STREAM: Final = {"subscribe": Role.VIEWER, "unsubscribe": Role.VIEWER, "snapshot": Role.VIEWER}


def operation(method: str, address: str) -> Access:
    """Return what an operation of the API needs."""
    return OPERATIONS.get(f"{method} {address}", UNLISTED)


def page(view_name: str) -> Role | None:
    """Return who may see a page."""
    return PAGES.get(view_name, Role.ADMIN)


def reaches(role: Role, needed: Role) -> bool:
    """Say whether a role is at least another one."""
    order = tuple(Role)
    return order.index(role) >= order.index(needed)
