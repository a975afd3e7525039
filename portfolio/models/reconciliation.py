"""Comparisons of the ledger with the exchange."""

from __future__ import annotations

from django.db import models

from portfolio.models.accounts import Account
from portfolio.models.money import MoneyField


class Reconciliation(models.Model):
    """One comparison at a consistent cut."""

    class Outcome(models.TextChoices):
        EXACT = "exact"
        RESIDUAL = "residual"
        UNSTABLE = "unstable", "No consistent cut could be read"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="reconciliations")
    cause = models.CharField(max_length=16, help_text="startup, cycle, command, test")
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    market_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(help_text="Wall time")
    duration_ms = models.PositiveIntegerField()
    facts = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(fields=["account", "-id"])]

    def __str__(self) -> str:
        return f"{self.cause} {self.pk}"


class ReconciliationLine(models.Model):
    """One asset: what we say, what the exchange says, what nobody has explained."""

    reconciliation = models.ForeignKey(Reconciliation, on_delete=models.CASCADE, related_name="lines")
    asset = models.CharField(max_length=16)
    ledger = MoneyField(help_text="Books and pools without suspense")
    suspense = MoneyField()
    exchange = MoneyField()
    residual = MoneyField(help_text="exchange - ledger")
