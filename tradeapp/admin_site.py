"""The admin site: the theme's own needs are let through the content policy there and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from csp.constants import UNSAFE_EVAL, UNSAFE_INLINE
from csp.decorators import csp_update
from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponse
from django.urls import reverse
from unfold.sites import UnfoldAdminSite

# The theme's Alpine.js evaluates expressions in attributes, and its widgets set style attributes.
_THEME = {"script-src": [UNSAFE_EVAL], "style-src": [UNSAFE_INLINE]}


class OperatorSite(UnfoldAdminSite):  # type: ignore[misc]
    """The admin under the operators' name."""

    site_header = "tradeapp"
    site_title = "tradeapp"
    index_title = "Records"

    def admin_view(self, view: Callable[..., HttpResponse], cacheable: bool = False) -> Callable[..., Any]:
        """Guard a view as always, and let the theme work in it."""
        guarded: Callable[..., HttpResponse] = super().admin_view(view, cacheable)
        loosened: Callable[..., Any] = csp_update(_THEME)(guarded)
        return loosened

    def login(self, request: Any, extra_context: dict[str, Any] | None = None) -> HttpResponse:  # noqa: ARG002 - Django names it.
        """Send people to the one sign-in page, which knows of second factors."""
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
