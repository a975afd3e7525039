"""A real Chromium in front of the whole system, signed in by the link that `up` prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from tests.tradeapp.test_up import System

SECONDS = 60
PASSWORD = "a long enough password"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--no-first-run"]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]
# plotly.js brings styles for maps, which we do not draw; the policy rightly keeps them out.
EXPECTED = re.compile(r"Applying inline style violates .*sha256-ji27qzEtxXZW")


class _Hurried(System):
    """The whole system on a synthetic market that is in a hurry."""

    words: tuple[str, ...] = ()

    def run(self, *words: str) -> subprocess.Popen[str]:
        return super().run(*words, *self.words, "--speed", "240")


class _HurriedTwins(_Hurried):
    """The same with a second market."""

    words = ("--second",)


@contextmanager
def hurried(*, second: bool = False) -> Iterator[System]:
    """Start the whole system on a synthetic market that is in a hurry, or on two of them, and stop it as an operator does."""
    with (_HurriedTwins if second else _Hurried).running("tradeapp-browser-") as running:
        yield running


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium, or skip and say how to get it."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no Chromium; get it with: sudo apt-get install chromium")
    # A busy machine is slow, not wrong.
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def administrator(browser: Browser, server: LiveServer, *, width: int = 1440) -> Iterator[Page]:
    """Open a page of this process's own server, signed in as an administrator whose password is PASSWORD."""
    client = Client()
    client.force_login(User.objects.create_superuser("admin", password=PASSWORD))
    context = browser.new_context(viewport={"width": width, "height": 900}, base_url=server.url)
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": server.url}])
    yield context.new_page()
    context.close()
    _wait_for_answers()


def _wait_for_answers() -> None:
    """Wait until this process's server has answered what a closed page had asked: the database is emptied next."""
    for thread in threading.enumerate():
        if thread.name.endswith("(process_request_thread)"):
            thread.join(SECONDS)
            assert not thread.is_alive(), "a request of a page that is closed is still being answered"


def sign_in(browser: Browser, *, link: str, width: int = 1440, height: int = 900) -> tuple[Page, list[str]]:
    """Sign in by a one-time link; the list collects what the console complains about."""
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not EXPECTED.search(message.text):
            complaints.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    return page, complaints


def ask(page: Page, path: str) -> Any:
    """Ask the API with the page's own session."""
    answer = page.context.request.get(f"{page.url.split('/', 3)[0]}//{page.url.split('/', 3)[2]}/api/v1/{path}")
    assert answer.ok, answer.text()
    return answer.json()
