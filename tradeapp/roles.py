"""What a person is here, kept in the two flags that Django has for it, and what the admin lets them do."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, User
from django.utils import timezone

from tradeapp import access, second_factor
from tradeapp.access import Role

_BY_RECORD: Final = {record.lower(): actions for record, actions in access.ADMIN.items()}


def role_of(user: User | AnonymousUser) -> Role | None:
    """Return a person's role; none for strangers and the disabled."""
    if not (isinstance(user, User) and user.is_active):
        return None
    return stored_role(user)


def stored_role(user: User) -> Role:
    """Return the role a person has, or would have if they were not disabled."""
    if user.is_superuser:
        return Role.ADMIN
    return Role.OPERATOR if user.is_staff else Role.VIEWER


def flags_of(role: Role) -> dict[str, bool]:
    """Return how a role is stored."""
    return {"is_staff": role is not Role.VIEWER, "is_superuser": role is Role.ADMIN}


class RoleBackend(ModelBackend):
    """Answers the admin's questions by the one table of roles; rights given to single people do not exist."""

    def authenticate(
        self, request: Any, username: str | None = None, password: str | None = None, code: str = "", **kwargs: Any
    ) -> Any:
        """Return the person if name and password fit, and the code too where they have a second factor."""
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is None or not second_factor.is_set_up(user) or second_factor.check(user, code, now=timezone.now()):
            return user
        return None

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:  # noqa: ARG002 - Django names them.
        """Say whether a person may do this to records, for example `portfolio.change_account`."""
        application, _, rest = perm.partition(".")
        action, _, record = rest.partition("_")
        role, needed = role_of(user_obj), _BY_RECORD.get(f"{application}.{record}", {}).get(action)
        return role is not None and needed is not None and access.reaches(role, needed)

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:  # noqa: ARG002 - Django names them.
        """Return nothing: rights come from roles."""
        return set()

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """Say whether a person sees anything of an application."""
        return any(
            self.has_perm(user_obj, f"{app_label}.{action}_{record.partition('.')[2]}")
            for record, actions in _BY_RECORD.items()
            if record.startswith(f"{app_label}.")
            for action in actions
        )
