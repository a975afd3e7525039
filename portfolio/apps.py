"""Portfolio as a Django app."""

from __future__ import annotations

from django.apps import AppConfig


class PortfolioConfig(AppConfig):
    """Name the app."""

    name = "portfolio"
    verbose_name = "Portfolio"
