"""Find a real exchange whose public prices can be read, quickly and without its client."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from urllib.parse import urlsplit

from tradeapp import places

# In order of preference: where each says that it is there.
SIGNS_OF_LIFE: Mapping[str, str] = {
    "binance": "https://api.binance.com/api/v3/ping",
    "binanceus": "https://api.binance.us/api/v3/ping",
    "coinbase": "https://api.exchange.coinbase.com/time",
}
# Without a network the start must not wait: names that nobody resolves may take longer than any socket's limit.
ANSWER_SECONDS = 3.0
LEARN_SECONDS = 30.0
UPSTREAM_FILE = "upstream.json"
SECOND_FILE = "upstream-2.json"


class NoLivePrices(Exception):
    """No real exchange can be read; the text says which were asked, and what came of it."""


@dataclass(frozen=True, slots=True)
class LiveSource:
    """A real exchange that answers, and the file that says what it lists."""

    exchange: str
    upstream: Path
    rest_url: str = ""

    def words(self) -> list[str]:
        """Return what its reader is told of the address."""
        address = ["--rest-url", self.rest_url, "--stream-url", _stream_url(self.rest_url)] if self.rest_url else []
        return ["--exchange", self.exchange, *address]


def find(
    *, exchange: str | None, url: str | None, data_dir: Path, say: Callable[[str], None], file: str = UPSTREAM_FILE
) -> LiveSource:
    """Return the first real exchange that answers, or the one asked for; raise with all reasons when there is none."""
    rest_url = (url or "").rstrip("/")
    if exchange is None:
        answers = who_answers(SIGNS_OF_LIFE, seconds=ANSWER_SECONDS)
    else:
        sign = f"{rest_url}/api/v3/ping" if rest_url else SIGNS_OF_LIFE.get(exchange, "")
        answers = who_answers({exchange: sign}, seconds=ANSWER_SECONDS) if sign else {exchange: ""}
    troubles = {name: trouble for name, trouble in answers.items() if trouble}
    for name in (name for name, trouble in answers.items() if not trouble):
        source = LiveSource(name, data_dir / file, rest_url)
        say(f"Asking {name} what it lists.")
        troubles[name] = _learn(source)
        if not troubles[name]:
            return source
    raise NoLivePrices("; ".join(f"{name}: {trouble}" for name, trouble in troubles.items()))


def who_answers(signs: Mapping[str, str], *, seconds: float) -> dict[str, str]:
    """Ask all at once; return for each, in their order, what is wrong: nothing for those that answer in time."""
    told: SimpleQueue[tuple[str, str]] = SimpleQueue()

    def ask(name: str, address: str) -> None:
        told.put((name, _trouble(address, seconds)))

    for name, address in signs.items():
        threading.Thread(target=ask, args=(name, address), daemon=True).start()
    found: dict[str, str] = {}
    deadline = monotonic() + seconds
    while len(found) < len(signs):
        try:
            name, trouble = told.get(timeout=max(0.001, deadline - monotonic()))
        except Empty:
            break
        found[name] = trouble
    return {name: found.get(name, f"no answer within {seconds:g} s") for name in signs}


def _trouble(address: str, seconds: float) -> str:
    # The exchange's client asks directly, so this does too.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=seconds) as answer:
            return "" if answer.status == 200 else f"HTTP {answer.status}"
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def _learn(source: LiveSource) -> str:
    """Have what the exchange lists written down; return what is wrong."""
    command = [sys.executable, "-m", "marketdata.mirror", "learn", *source.words(), "--out", str(source.upstream)]
    try:
        done = subprocess.run(command, cwd=places.PROJECT_DIR, capture_output=True, timeout=LEARN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no list within {LEARN_SECONDS:g} s"
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        return words[-1][:200] if words else f"its reader ended with {done.returncode}"
    return ""


def _stream_url(rest_url: str) -> str:
    parts = urlsplit(rest_url)
    return parts._replace(scheme="wss" if parts.scheme == "https" else "ws").geturl()
