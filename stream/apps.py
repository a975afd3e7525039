"""Stream as a Django app."""

from __future__ import annotations

from django.apps import AppConfig


class StreamConfig(AppConfig):
    """Name the app."""

    name = "stream"
    verbose_name = "Stream"
