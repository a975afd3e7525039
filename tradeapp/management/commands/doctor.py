"""Say what is wrong with this installation and how to mend it."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from tradeapp import doctor
from tradeapp.doctor import Finding, Verdict


class Command(BaseCommand):
    """Examine this installation."""

    help = "Say what is wrong with this installation and how to mend it; exit code 1 if something is."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Examine and print."""
        findings = doctor.examine(now=timezone.now())
        if options["json"]:
            self.stdout.write(json.dumps(doctor.as_json(findings), indent=1))
        else:
            self.stdout.write(doctor.as_text(findings, style=self._colour))
        if not doctor.is_healthy(findings):
            sys.exit(1)

    def _colour(self, finding: Finding, line: str) -> str:
        if finding.verdict is Verdict.PROBLEM:
            return self.style.ERROR(line)
        return self.style.WARNING(line) if finding.verdict is Verdict.NOTICE else line
