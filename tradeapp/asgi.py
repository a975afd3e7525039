"""The web process: pages and API over HTTP, the stream over WebSockets."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeapp.settings")

from django.core.asgi import get_asgi_application

# Apps must be loaded before anything below imports models.
http_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator

from stream.routing import websocket_urlpatterns
from tradeapp import heartbeats, metrics
from tradeapp.pages import topics

topics.register()
metrics.serve()
heartbeats.begin_web()

application = ProtocolTypeRouter(
    {
        "http": http_application,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
