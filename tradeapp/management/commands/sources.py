"""Switch sources beyond price on and off, ask them, and show what they said."""

from __future__ import annotations

import math
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from marketdata.models import SourceState
from marketdata.sources import collecting, keeping
from marketdata.sources.registry import SOURCES, UnknownSource, source_named
from tradeapp.sources import switch_source


class Command(BaseCommand):
    """Translate the command line into words with the sources."""

    help = "List, enable, disable and collect sources beyond price (fear and greed, news, funding ...)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the command line."""
        parser.add_argument("action", choices=("list", "enable", "disable", "collect", "at"))
        parser.add_argument("name", nargs="?", default="", help="a source of the list")
        parser.add_argument("--entity", default="market", help="at: a coin, or market")
        parser.add_argument("--when", default="", help="at: a moment such as 2026-01-05T12:00:00+00:00; now if left out")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Do what is asked."""
        if options["action"] == "list":
            self._list()
            return
        try:
            source = source_named(options["name"])
        except UnknownSource as error:
            raise CommandError(str(error)) from error
        if options["action"] == "collect":
            added = collecting.collect(source.name, clock=timezone.now)
            self.stdout.write(f"{source.name}: {added} new. {keeping.state_of(source.name).message}")
        elif options["action"] == "at":
            self._at(source.name, options["entity"], options["when"])
        else:
            is_on = options["action"] == "enable"
            switch_source(name=source.name, is_enabled=is_on, by=None, now=timezone.now())
            self.stdout.write(f"{source.name} is {'on' if is_on else 'off'}. Licence: {source.licence}.")

    def _list(self) -> None:
        states = {state.name: state for state in SourceState.objects.all()}
        for name, source in sorted(SOURCES.items()):
            state = states.get(name)
            key = f"needs {source.key_name}" if source.key_name else "needs no key"
            said = f"{state.message} ({state.failures} failures)" if state and state.message else "never asked"
            self.stdout.write(f"{name:16} {'on ' if state and state.is_enabled else 'off'}  {key:24} {said}")

    def _at(self, name: str, entity: str, when: str) -> None:
        try:
            at = datetime.fromisoformat(when) if when else timezone.now()
        except ValueError as error:
            raise CommandError(f"--when {when} is no moment: write 2026-01-05T12:00:00+00:00.") from error
        if at.tzinfo is None:
            raise CommandError("--when needs a zone: write +00:00 at its end for UTC.")
        value = keeping.feature_at(name, entity, at)
        said = "nothing that is young enough" if math.isnan(value) else f"{value:g}"
        self.stdout.write(f"{name} of {entity}, as known at {at.isoformat()}: {said}")
