"""Talk to the source: politely, patiently, and never longer than it is worth."""

from __future__ import annotations

import http.client
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from .store import writing
from .trouble import Stopped, Unreachable

ATTEMPTS: Final = 5
WAIT_SECONDS: Final = 0.5
WAIT_SECONDS_MAX: Final = 30.0
BLOCK_BYTES: Final = 1 << 18
# A transfer that is slower than this for so long will not end before the next release.
DRIP_BYTES_PER_SECOND: Final = 512
DRIP_SECONDS: Final = 20.0
ANSWER_BYTES_MAX: Final = 32 << 20
NOT_FOUND: Final = 404
PARTIAL: Final = 206
RANGE_IS_BAD: Final = 416
TOO_MANY: Final = 429

Answer = TypeVar("Answer")

_FAILURES = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


class _Again(Exception):
    """Raised inside when a request is worth another try."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


@dataclass(slots=True)
class Wire:
    """A way to the source, shared by all threads: when it asks for patience, all of them wait."""

    stop: threading.Event
    timeout_seconds: float = 30.0
    drip_seconds: float = DRIP_SECONDS
    attempts: int = ATTEMPTS
    on_bytes: Callable[[int], None] = lambda _count: None
    requests: int = 0
    _not_before: float = 0.0

    def get(self, url: str) -> bytes | None:
        """Fetch something small; None if there is no such thing."""

        def once() -> bytes | None:
            with self._open(url, {}) as answer:
                if answer is None:
                    return None
                content = b"".join(self._blocks(url, answer))
                if _declared(answer) not in (None, len(content)):
                    raise _Again("the answer was cut")
                return content

        return self._patiently(url, once)

    def download(self, url: str, path: Path) -> bool:
        """Fetch something large into a file, going on where an earlier try ended; false if there is no such thing."""

        def once() -> bool:
            there = path.stat().st_size if path.exists() else 0
            headers = {"Range": f"bytes={there}-"} if there else {}
            with self._open(url, headers) as answer:
                if answer is None:
                    return False
                if answer.status == RANGE_IS_BAD:
                    # Complete already, or of another upload: begin anew, the checksum decides.
                    path.unlink(missing_ok=True)
                    raise _Again("what was fetched before does not fit")
                written = _write(path, answer.status == PARTIAL, self._blocks(url, answer, limit=None))
                if _declared(answer) not in (None, written):
                    raise _Again("the transfer was cut")
                return True

        return self._patiently(url, once)

    def pause(self, seconds: float) -> None:
        """Wait, or raise Stopped at once when somebody asks to stop."""
        if self.stop.wait(seconds):
            raise Stopped("Stopped. Run the same command again to go on.")

    def _patiently(self, url: str, once: Callable[[], Answer]) -> Answer:
        for attempt in range(self.attempts):
            self.pause(max(0.0, self._not_before - time.monotonic()))
            try:
                return once()
            except (_Again, *_FAILURES) as error:
                reason = str(error) or type(error).__name__
                if attempt + 1 == self.attempts:
                    raise Unreachable(f"{url} could not be fetched after {self.attempts} tries: {reason}.") from error
                asked = error.wait_seconds if isinstance(error, _Again) else None
                self._back_off(attempt, asked)
        raise AssertionError("the last try raises")

    def _back_off(self, attempt: int, asked: float | None) -> None:
        if asked is not None:
            self._not_before = max(self._not_before, time.monotonic() + asked)
        # Full jitter: clients that failed together do not come back together.
        self.pause(random.uniform(0, min(WAIT_SECONDS_MAX, WAIT_SECONDS * 2**attempt)))  # noqa: S311

    @contextmanager
    def _open(self, url: str, headers: Mapping[str, str]) -> Iterator[Any]:
        self.requests += 1
        request = urllib.request.Request(url, headers={"User-Agent": "tradeapp-history-fetcher", **headers})  # noqa: S310
        try:
            answer = _opener(url).open(request, timeout=self.timeout_seconds)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (NOT_FOUND, RANGE_IS_BAD):
                yield None if error.code == NOT_FOUND else error
                return
            if error.code == TOO_MANY or error.code >= 500:
                raise _Again(f"the server answered {error.code}", _retry_after(error.headers)) from error
            raise Unreachable(f"{url}: the server answered {error.code}.") from error
        with answer:
            yield answer

    def _blocks(self, url: str, answer: Any, limit: int | None = ANSWER_BYTES_MAX) -> Iterator[bytes]:
        began, total = time.monotonic(), 0
        # read1 returns what is there: a server that drips must not hide behind a full block.
        while block := answer.read1(BLOCK_BYTES):
            total += len(block)
            self.on_bytes(len(block))
            if limit is not None and total > limit:
                raise Unreachable(f"{url} sends more than {limit >> 20} MB where little was expected.")
            elapsed = time.monotonic() - began
            if elapsed > self.drip_seconds and total < elapsed * DRIP_BYTES_PER_SECOND:
                raise _Again(f"only {total} bytes came in {elapsed:.0f} s")
            self.pause(0)
            yield block


def _opener(url: str) -> urllib.request.OpenerDirector:
    # A mirror on this machine is never behind the environment's proxy.
    is_here = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if is_here else []))


def _declared(answer: Any) -> int | None:
    text = answer.headers.get("Content-Length")
    return int(text) if text and text.isdigit() else None


def _retry_after(headers: Any) -> float:
    text = headers.get("Retry-After", "") if headers else ""
    return min(float(text), 120.0) if text.isdigit() else WAIT_SECONDS


def _write(path: Path, is_rest: bool, blocks: Iterator[bytes]) -> int:
    written = 0
    with writing(path):
        file = path.open("ab" if is_rest else "wb")
    with file:
        for block in blocks:
            # Only the disk's own trouble is the disk's: the blocks come from a socket.
            with writing(path):
                written += file.write(block)
        with writing(path):
            file.flush()
    return written
