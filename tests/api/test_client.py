"""The client that docs/api.md shows: that very text, run against the web process."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.models import User
from django.utils import timezone

from bots.models import Bot
from bots.services import pause_bot
from portfolio.models import Allocation
from tests.api.conftest import line_up
from tests.journeys.stack import PROJECT, Stack, free_port
from tests.portfolio.world import D, build

PASSWORD = "a long enough password"
SECONDS = 30


@pytest.fixture
def address(transactional_db: None, redis_url: str, tmp_path: Path) -> Iterator[str]:
    """Return the address of the product's web process over this test's database."""
    port = free_port()
    found = f"http://127.0.0.1:{port}"
    with Stack(tmp_path / "stack", []) as stack:
        stack.start(
            "web", [sys.executable, "-m", "uvicorn", "tradeapp.asgi:application", "--port", str(port), "--lifespan", "off"]
        )
        stack.wait_until(lambda: answers(f"{found}/api/v1/health"), what="the web process answers")
        yield found


def answers(url: str) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=60) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def lines_of(command: list[str]) -> Iterator[queue.Queue[str]]:
    """Run a program and read what it prints while it runs."""
    environment = os.environ | {"PASSWORD": PASSWORD, "no_proxy": "127.0.0.1"}
    said: queue.Queue[str] = queue.Queue()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as program:

        def read() -> None:
            for line in program.stdout or ():
                said.put(line.strip())

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield said
        finally:
            program.kill()
            reader.join()


def wait_for(said: queue.Queue[str], wanted: str) -> list[str]:
    """Read lines until one begins with a word."""
    seen: list[str] = []
    while not seen or not seen[-1].startswith(wanted):
        try:
            seen.append(said.get(timeout=SECONDS))
        except queue.Empty:
            raise AssertionError(f"No line {wanted!r} among: {seen}") from None
    return seen


@pytest.mark.slow
def test_the_client_of_the_documentation_starts_a_bot_edits_a_share_and_follows(address: str, tmp_path: Path) -> None:
    build()
    bot = next(bot for bot in line_up() if bot.key == "GRID_TRADING")
    person = User.objects.create(
        username="ada", is_staff=True, is_superuser=True, password=Argon2PasswordHasher().encode(PASSWORD, "salt-of-a-test")
    )
    shown = re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)
    program = tmp_path / "client.py"
    program.write_text(shown[-1], encoding="utf-8")

    with lines_of([sys.executable, str(program), address, "ada", "GRID_TRADING"]) as said:
        began = wait_for(said, f"snapshot bot:{bot.pk}")
        assert began[0] == "running"
        assert any(line.startswith(f"{bot.name} 10 ") for line in began), began
        assert Bot.objects.get(id=bot.pk).status == "running"
        assert Allocation.objects.filter(book=bot.book_id).order_by("-id")[0].percent == D(10)

        pause_bot(bot_id=bot.pk, by=person, now=timezone.now(), request_id="test")
        wait_for(said, f"delta bot:{bot.pk}")
