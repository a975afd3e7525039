"""WebSocket addresses."""

from __future__ import annotations

from typing import Any

from django.urls import path

from stream.consumers import application

websocket_urlpatterns: list[Any] = [path("ws/stream/", application)]
