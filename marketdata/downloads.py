"""Files as answers, however large: read piece by piece, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

KIND: Final = "application/octet-stream"
# How the description of the API tells of such an answer.
DESCRIBED: Final[dict[str, Any]] = {
    "responses": {
        200: {
            "description": "The file",
            "content": {KIND: {"schema": {"type": "string", "format": "binary"}, "example": ""}},
        }
    }
}
_PIECE_BYTES: Final = 2**18


def download(path: Path) -> StreamingHttpResponse:
    """Answer a file to be saved under its own name.

    Django reads a plain FileResponse into memory as a whole when it is served asynchronously.
    """
    response = StreamingHttpResponse(_pieces(path), content_type=KIND)
    response["Content-Length"] = str(path.stat().st_size)
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=path.name) or "attachment"
    return response


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
