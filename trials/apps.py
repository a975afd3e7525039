"""Trials as a Django app."""

from __future__ import annotations

from django.apps import AppConfig


class TrialsConfig(AppConfig):
    """Name the app."""

    name = "trials"
    verbose_name = "Trials"
