"""Bots as a Django app."""

from __future__ import annotations

from django.apps import AppConfig


class BotsConfig(AppConfig):
    """Name the app."""

    name = "bots"
    verbose_name = "Bots"
