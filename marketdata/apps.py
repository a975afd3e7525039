"""Market data as a Django app."""

from __future__ import annotations

from django.apps import AppConfig


class MarketdataConfig(AppConfig):
    """Name the app."""

    name = "marketdata"
    verbose_name = "Market data"
