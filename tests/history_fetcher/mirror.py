"""A mirror of the archive site on loopback: S3 listing, checksums, and every kind of trouble on demand."""

from __future__ import annotations

import hashlib
import io
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

Trouble = Callable[["Handler", bytes], None]


class Mirror:
    """What the mirror holds and what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.page_keys = 1000
        self.has_listing = True
        # What happens instead of a plain answer: by path, used up one by one.
        self.troubles: dict[str, list[Trouble]] = {}
        self.rest: Callable[[dict[str, str]], bytes] | None = None
        self.url = ""

    def put(self, key: str, content: bytes) -> None:
        """Publish an archive with its checksum."""
        name = key.rsplit("/", 1)[-1]
        self.files[key] = content
        self.files[f"{key}.CHECKSUM"] = f"{hashlib.sha256(content).hexdigest()}  {name}".encode()

    def put_rows(self, series: str, label: str, rows: list[str], *, kind: str = "klines", member: str = "") -> str:
        """Publish rows as the archive of a month or a day; `series` is SYMBOL/INTERVAL."""
        symbol, _, stream = series.partition("/")
        stem = f"{symbol}-{stream}-{label}"
        period = "monthly" if len(label) == 7 else "daily"
        folder = f"{symbol}/{stream}" if kind == "klines" else symbol
        key = f"data/spot/{period}/{kind}/{folder}/{stem}.zip"
        self.put(key, zipped({member or f"{stem}.csv": "".join(f"{row}\n" for row in rows).encode()}))
        return key

    def archives_asked(self) -> list[str]:
        """Answer which archives were fetched, without listings and checksums."""
        return [path for path in self.asked if path.endswith(".zip")]


def zipped(members: dict[str, bytes]) -> bytes:
    """Make a zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), body, zipfile.ZIP_DEFLATED)
    return content.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Answers as the site does."""

    protocol_version = "HTTP/1.1"
    mirror: Mirror

    def do_GET(self) -> None:
        """Answer one request."""
        parts = urlsplit(self.path)
        path = unquote(parts.path).lstrip("/")
        self.mirror.asked.append(path)
        words = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if path == "api/v3/klines" and self.mirror.rest:
            return self.send(self.mirror.rest(words))
        if not path:
            return self.list(words) if self.mirror.has_listing else self.send(b"nothing", status=404)
        content = self.mirror.files.get(path)
        if content is None:
            return self.send(b"nothing", status=404)
        if self.mirror.troubles.get(path):
            return self.mirror.troubles[path].pop(0)(self, content)
        start = self.range_start()
        if start:
            return self.send(content[start:], status=206) if start < len(content) else self.send(b"", status=416)
        return self.send(content)

    def range_start(self) -> int:
        """Answer where the client wants to go on."""
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))

    def list(self, words: dict[str, str]) -> None:
        """Answer a page of the listing."""
        prefix, marker = words.get("prefix", ""), words.get("marker", "")
        below = sorted(key for key in self.mirror.files if key.startswith(prefix))
        files = [key for key in below if "/" not in key[len(prefix) :]]
        folders = sorted({prefix + key[len(prefix) :].split("/")[0] + "/" for key in below if "/" in key[len(prefix) :]})
        entries = [name for name in sorted([*files, *folders]) if name > marker]
        page = entries[: self.mirror.page_keys]
        body = "".join(self.entry(name) for name in page)
        is_cut = len(entries) > len(page)
        more = f"<NextMarker>{escape(page[-1])}</NextMarker>" if is_cut else ""
        text = '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        text += f"<IsTruncated>{str(is_cut).lower()}</IsTruncated>{more}{body}</ListBucketResult>"
        self.send(text.encode())

    def entry(self, name: str) -> str:
        """Describe a file or a folder."""
        if name.endswith("/"):
            return f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
        content = self.mirror.files[name]
        etag = hashlib.md5(content).hexdigest()
        facts = f"<LastModified>2025-01-01T00:00:00.000Z</LastModified><ETag>&quot;{etag}&quot;</ETag><Size>{len(content)}</Size>"
        return f"<Contents><Key>{escape(name)}</Key>{facts}</Contents>"

    def send(self, content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_words: Any) -> None:
        """Keep quiet."""


class Server(ThreadingHTTPServer):
    """Takes it calmly when a client is killed."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that the other side closed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def cuts_after(count: int) -> Trouble:
    """Make a server that closes the connection in the middle."""

    def trouble(handler: Handler, content: bytes) -> None:
        rest = content[handler.range_start() :]
        handler.send_response(206 if handler.range_start() else 200)
        handler.send_header("Content-Length", str(len(rest)))
        handler.end_headers()
        handler.wfile.write(rest[:count])
        handler.close_connection = True

    return trouble


def answers(status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> Trouble:
    """Make a server that answers something else."""
    return lambda handler, _content: handler.send(content, status, headers)


def drips(seconds: float) -> Trouble:
    """Make a server that sends a byte now and then."""

    def trouble(handler: Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        until = time.monotonic() + seconds
        for place in range(len(content)):
            if time.monotonic() > until:
                break
            handler.wfile.write(content[place : place + 1])
            handler.wfile.flush()
            time.sleep(0.05)
        handler.close_connection = True

    return trouble


@contextmanager
def serving(mirror: Mirror) -> Iterator[Mirror]:
    """Serve a mirror on a free port of loopback."""
    handler = type("OneHandler", (Handler,), {"mirror": mirror})
    server = Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    mirror.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
