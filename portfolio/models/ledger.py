"""The double-entry ledger: append-only, zero-sum and hash-chained by the database itself."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from portfolio.models.accounts import Account
from portfolio.models.books import Book
from portfolio.models.money import MoneyField


class LedgerAccount(models.Model):
    """One asset in one pocket; the balance is a cache of its entries."""

    class Kind(models.TextChoices):
        AVAILABLE = "available"
        RESERVED = "reserved"
        UNALLOCATED = "unallocated"
        FEE_POOL = "fee_pool"
        DUST = "dust"
        IN_TRANSIT = "in_transit", "On its way to another account of ours"
        SUSPENSE = "suspense"
        DEFICIT = "deficit"
        EXTERNAL_FLOW = "external_flow", "Deposits and withdrawals"
        EXTERNAL_TRADE = "external_trade", "The market's side of trades"
        EXTERNAL_FEE = "external_fee", "Fees paid to the exchange"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="ledger_accounts")
    book = models.ForeignKey(Book, null=True, blank=True, on_delete=models.PROTECT, related_name="ledger_accounts")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    asset = models.CharField(max_length=16)
    balance = MoneyField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "book", "kind", "asset"], name="ledger_account_unique", nulls_distinct=False
            ),
            # I-07: pockets that are ours never go below zero.
            models.CheckConstraint(
                condition=Q(balance__gte=0)
                | Q(kind__in=["suspense", "deficit", "external_flow", "external_trade", "external_fee"]),
                name="ledger_balance_not_negative",
            ),
            # What a book reserves for an adopted order and does not have; its entries are halted.
            models.CheckConstraint(condition=~Q(kind="deficit") | Q(balance__lte=0), name="ledger_deficit_not_positive"),
            models.CheckConstraint(
                condition=Q(kind__in=["available", "reserved", "deficit", "external_trade", "external_fee"])
                | Q(book__isnull=True),
                name="ledger_pools_have_no_book",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.asset}"


class LedgerTransaction(models.Model):
    """A movement of money; its entries sum to zero per asset."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="ledger_transactions")
    seq = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=24, help_text="fill, reserve, release, allocation, deposit, withdrawal, suspense ...")
    reference = models.CharField(max_length=96, help_text="What caused it, unique per account and kind")
    market_at = models.DateTimeField()
    recorded_at = models.DateTimeField(help_text="Wall time")
    facts = models.JSONField(default=dict)
    hash_previous = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["account", "seq"]
        constraints = [
            models.UniqueConstraint(fields=["account", "seq"], name="ledger_seq_unique"),
            models.UniqueConstraint(fields=["account", "kind", "reference"], name="ledger_reference_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.kind} {self.reference}"


class LedgerEntry(models.Model):
    """One leg."""

    transaction = models.ForeignKey(LedgerTransaction, on_delete=models.PROTECT, related_name="entries")
    ledger_account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="entries")
    amount = MoneyField()
