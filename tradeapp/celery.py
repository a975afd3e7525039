"""The Celery app: a doorbell, never a store. Rows in PostgreSQL are the queue."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeapp.settings")

app = Celery("tradeapp")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**_facts: Any) -> None:
    """Leave logging as the settings configured it: a connected receiver stops Celery from replacing it."""
