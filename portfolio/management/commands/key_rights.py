"""Say what a key may do. Pages run this in a process of its own."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from portfolio.trader import rights


class Command(BaseCommand):
    """Read a question with a key from standard input, answer with its rights."""

    help = "Say what a key may do, which is read from standard input (used by pages and API)."

    def handle(self, *_words: Any, **_options: Any) -> None:
        """Ask and print."""
        self.stdout.write(rights.answer(sys.stdin.read()))
