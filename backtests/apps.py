"""Backtests as a Django app."""

from __future__ import annotations

from django.apps import AppConfig


class BacktestsConfig(AppConfig):
    """Name the app."""

    name = "backtests"
    verbose_name = "Backtests"
