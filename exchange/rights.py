"""What a key may be allowed to do in which role: none may ever take money out (S01)."""

from __future__ import annotations

from exchange.errors import KeyRefused
from exchange.ports import KeyPermissions

READ, TRADE, TRANSFER = "read", "trade", "transfer"


def demand_rights(permissions: KeyPermissions, *, role: str) -> None:
    """Refuse a key that can do more, or less, than its role wants."""
    trouble = trouble_with(permissions, role=role)
    if trouble:
        raise KeyRefused(trouble)


def trouble_with(permissions: KeyPermissions, *, role: str) -> str:
    """Say why a key does not fit its role; nothing if it does."""
    if permissions.can_withdraw:
        return "This API key may withdraw. Make one that may not: whoever steals it could empty the account."
    if permissions.can_transfer and role != TRANSFER:
        return "This API key may transfer. Make one that may only read and trade spot."
    if not permissions.can_read:
        return "This API key may not read: allow it at the exchange."
    if role == TRADE and not permissions.can_trade:
        return "This API key may not trade spot: allow it at the exchange."
    if role != TRADE and permissions.can_trade:
        return f"This API key may trade, which a key for the role {role} must not: use another one for trading."
    if role == TRANSFER and not permissions.can_transfer:
        return "This API key may not transfer between your own accounts: allow it at the exchange."
    return ""
