"""What a trader must remember beyond its own life: where it has read to, what was checked, how it began and ended."""

from __future__ import annotations

from django.db import models

from portfolio.models.accounts import Account
from portfolio.models.ledger import LedgerTransaction
from portfolio.models.money import MoneyField


class HistoryCursor(models.Model):
    """Up to which trade of a symbol the exchange's history was read without a gap (I-23)."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="history_cursors")
    symbol = models.CharField(max_length=32, help_text="The exchange's own name")
    trade_id = models.BigIntegerField(help_text="Every trade up to this one is posted")
    read_at = models.DateTimeField(help_text="Wall time")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "symbol"], name="history_cursor_unique")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.trade_id}"


class FlowCursor(models.Model):
    """Up to when every deposit and withdrawal of the exchange's history is known, or was proven to be in the balances."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE, related_name="flow_cursor")
    through_at = models.DateTimeField(help_text="By the exchange's history: nothing that began earlier is still on its way")
    read_at = models.DateTimeField(help_text="Wall time")

    def __str__(self) -> str:
        return f"{self.through_at:%Y-%m-%d %H:%M:%S}"


class KnownFlow(models.Model):
    """A deposit or withdrawal of the exchange's history that is in the books, however they came to know of it."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="known_flows")
    name = models.CharField(max_length=128, help_text="deposit or withdrawal, and the exchange's number of it")
    asset = models.CharField(max_length=16)
    amount = MoneyField(help_text="Below zero: a withdrawal with its fee")
    began_at = models.DateTimeField(help_text="By the exchange's history")
    cleared_at = models.DateTimeField(null=True, help_text="By the exchange's history, where it says so")
    transaction = models.OneToOneField(
        LedgerTransaction, null=True, on_delete=models.PROTECT, related_name="known_flow", help_text="Empty: it came before us"
    )
    is_booked = models.BooleanField(help_text="Posted from the history; otherwise the stream told it, or the opening balances")
    echo = models.CharField(max_length=96, blank=True, help_text="The stream told of it afterwards, under this reference")
    noted_at = models.DateTimeField(help_text="Wall time")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="known_flow_once")]

    def __str__(self) -> str:
        return self.name


class HostSilence(models.Model):
    """Until when nobody of ours may ask an exchange anything: it counts requests by address, not by process."""

    host = models.CharField(max_length=128, unique=True)
    outcome = models.CharField(max_length=24, help_text="BACKOFF_WEIGHT, BANNED or BLOCKED")
    until_at = models.DateTimeField(help_text="Wall time")
    told_at = models.DateTimeField(help_text="Wall time")

    def __str__(self) -> str:
        return f"{self.host} {self.outcome}"


class LedgerCheckpoint(models.Model):
    """Up to where an account's books were verified, so that the next check reads only what is new."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE, related_name="checkpoint")
    seq = models.PositiveBigIntegerField(help_text="Newest transaction that was verified")
    hash = models.CharField(max_length=64, blank=True, help_text="Its hash")
    balances = models.JSONField(default=dict, help_text="Sum of the entries up to it, by ledger account")
    fill_id = models.BigIntegerField(default=0, help_text="Newest fill that was counted")
    fill_count = models.PositiveBigIntegerField(default=0)
    again_seq = models.PositiveBigIntegerField(default=0, help_text="How far the daily look at everything has come")
    again_hash = models.CharField(max_length=64, blank=True)
    again_balances = models.JSONField(default=dict)
    checked_at = models.DateTimeField(help_text="Wall time")
    full_at = models.DateTimeField(null=True, help_text="When everything was verified from the first transaction on")

    def __str__(self) -> str:
        return f"{self.account_id} at {self.seq}"


class TraderStart(models.Model):
    """One life of a trader's process; a life without an end was a crash."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="trader_starts")
    process = models.CharField(max_length=64)
    began_at = models.DateTimeField(help_text="Wall time")
    ended_at = models.DateTimeField(null=True, help_text="Wall time of a clean end")

    class Meta:
        indexes = [models.Index(fields=["account", "-id"], name="trader_start_newest")]

    def __str__(self) -> str:
        return f"{self.process} {self.began_at:%H:%M:%S}"
