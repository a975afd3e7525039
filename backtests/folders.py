"""Folders of candles on the server, as people name them in a request."""

from __future__ import annotations

from django.http import HttpRequest
from ninja.errors import HttpError


def demand_right(request: HttpRequest, folder: str) -> None:
    """Refuse whoever names a folder and is no administrator: it could be any place of the server.

    Raises:
        HttpError: 403.
    """
    if folder and not request.user.is_superuser:
        raise HttpError(403, "Only an administrator names folders of the server.")
