"""Books: a bot's identity in the money world, its share and its equity over time."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from portfolio.models.accounts import Account
from portfolio.models.money import MoneyField


class Book(models.Model):
    """A bot's sub-ledger on one account."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="books")
    number = models.PositiveIntegerField(help_text="Part of every client order id")
    name = models.CharField(max_length=64)
    opened_at = models.DateTimeField()
    base_equity = MoneyField(default=0, help_text="Capital that sizes and returns refer to: the starting allocation")
    net_flows = MoneyField(default=0, help_text="Capital put in minus taken out: a cache of the ledger")
    pending = MoneyField(
        default=0, help_text="What the newest plan still moves: in once there is cash, or (below zero) out once it is free"
    )
    pending_since_at = models.DateTimeField(null=True, blank=True, help_text="Wall time")
    position_cap_percent = models.DecimalField(
        max_digits=7, decimal_places=4, default=10, help_text="Largest position in one instrument, of the base equity"
    )
    orders_per_minute = models.PositiveIntegerField(default=120, help_text="Entries accepted per minute of market time")
    is_active = models.BooleanField(default=True, help_text="Whether the mode lets this book enter")
    is_halted = models.BooleanField(default=False)
    halt_reason = models.CharField(max_length=64, blank=True)
    flattened_seq = models.PositiveBigIntegerField(
        default=0, help_text="Number of the newest intent when the book was last sold out: what older orders bring is sold too"
    )
    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "number"], name="book_number_unique"),
            models.UniqueConstraint(fields=["account", "name"], name="book_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class Allocation(models.Model):
    """A book's share of the account from a moment on; rows are never edited."""

    book = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="allocations")
    percent = models.DecimalField(max_digits=7, decimal_places=4)
    amount = MoneyField(help_text="What the share came to in quote when it was set")
    moved = MoneyField(null=True, help_text="What the plan moved at once; null where nobody wrote it down")
    is_locked = models.BooleanField(default=False, help_text="Neither a re-base nor evening out touches it")
    effective_at = models.DateTimeField()
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    plan = models.PositiveBigIntegerField(help_text="Allocations set together carry the same number")

    class Meta:
        indexes = [models.Index(fields=["book", "-effective_at"])]
        constraints = [
            models.CheckConstraint(condition=Q(percent__gte=0, percent__lte=100), name="allocation_percent_in_range"),
            models.UniqueConstraint(fields=["book", "plan"], name="allocation_plan_unique"),
        ]

    def __str__(self) -> str:
        return f"plan {self.plan}"


class EquityPoint(models.Model):
    """Equity and its parts at a market time; book is null for the whole account."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="equity_points")
    book = models.ForeignKey(Book, null=True, on_delete=models.CASCADE, related_name="equity_points")
    market_at = models.DateTimeField()
    equity = MoneyField()
    realised = MoneyField()
    unrealised = MoneyField()
    fees = MoneyField()
    net_flows = MoneyField(default=0, help_text="Capital put in minus taken out up to this moment")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "book", "market_at"], name="equity_point_unique", nulls_distinct=False),
        ]
