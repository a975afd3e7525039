"""The wiring app: it owns sign-in links and the checks of this installation."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class TradeappConfig(AppConfig):
    """Name the wiring app."""

    name = "tradeapp"
    verbose_name = "Installation"

    def ready(self) -> None:
        """Load the Celery app, so that tasks can be sent from every process."""
        from django.contrib.auth.signals import user_logged_in

        from tradeapp import celery, confirmation, heartbeats, modesty, wiring  # noqa: F401 - importing them makes the app current and connects its signals.

        wiring.register()
        user_logged_in.connect(confirmation.note_sign_in, dispatch_uid="tradeapp.confirmation")


class OperatorAdminConfig(admin_apps.AdminConfig):
    """Have the admin use our site."""

    default = False

    default_site = "tradeapp.admin_site.OperatorSite"
