"""WebSocket addresses."""

from __future__ import annotations

from django.urls import URLPattern, path

from stream.consumers import application

websocket_urlpatterns: list[URLPattern] = [path("ws/stream/", application)]
