"""Exchange accounts, their keys, and who may act for them."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from portfolio.models.money import MoneyField


class Account(models.Model):
    """One exchange account; its row is the lock that every money transaction takes first."""

    class Mode(models.TextChoices):
        PAPER = "paper"
        TESTNET = "testnet"
        LIVE = "live"

    class State(models.TextChoices):
        STARTING = "starting", "Recovering"
        ACTIVE = "active"
        ENTRIES_HALTED = "entries_halted", "Entries halted"
        HALTED = "halted"

    name = models.CharField(max_length=64, unique=True)
    market = models.ForeignKey("marketdata.Market", on_delete=models.PROTECT, related_name="accounts")
    mode = models.CharField(max_length=8, choices=Mode.choices)
    venue_uid = models.CharField(max_length=64, blank=True, help_text="The exchange's own number of the account")
    master = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="sub_accounts", help_text="Empty for a master"
    )
    venue_name = models.CharField(
        max_length=128, blank=True, help_text="The exchange's own name of a sub-account, which transfers are addressed to"
    )
    transfer_max = MoneyField(null=True, blank=True, help_text="Largest transfer in quote; empty: none is made")
    transfer_max_day = MoneyField(null=True, blank=True, help_text="Most in quote moved in 24 hours; empty: nothing is")
    target_percent = models.DecimalField(
        max_digits=7, decimal_places=4, null=True, blank=True, help_text="Share of what its family is worth; empty: none"
    )
    target_band_percent = models.DecimalField(
        max_digits=7, decimal_places=4, default=1, help_text="Of a master: smaller differences are left alone"
    )
    quote_asset = models.CharField(max_length=16, default="USDT")
    deploy = models.CharField(max_length=8, help_text="Prefix of client order ids; a restore raises it")
    state = models.CharField(max_length=16, choices=State.choices, default=State.STARTING)
    state_reason = models.CharField(max_length=64, blank=True, help_text="Reason code, empty when active")
    is_enabled = models.BooleanField(default=True)
    allocation_mode = models.CharField(max_length=16, default="percentage")
    is_killed = models.BooleanField(default=False)
    killed_at = models.DateTimeField(null=True, blank=True)
    killed_reason = models.CharField(max_length=200, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True, help_text="When the opening balances were posted")
    synced_through_at = models.DateTimeField(
        null=True, blank=True, help_text="Market time up to which every fill is known to be posted"
    )
    trades_posted = models.PositiveBigIntegerField(default=0)
    intent_seq = models.PositiveBigIntegerField(default=0)
    ledger_seq = models.PositiveBigIntegerField(default=0)
    net_flows = MoneyField(default=0, help_text="Deposits minus withdrawals in quote, at the marks when they came")
    ledger_hash = models.CharField(max_length=64, default="", blank=True)
    version = models.PositiveBigIntegerField(default=0, help_text="Raised in every transaction that changes what a page shows")
    created_at = models.DateTimeField()

    # Not a column: whether the transaction that locked this row will tell the browsers already.
    is_announced = False

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(mode__in=["paper", "testnet", "live"]), name="account_mode_known"),
            models.UniqueConstraint(fields=["deploy"], name="account_deploy_unique"),
            # A sub-account has a name that transfers reach it by, and is no master of itself.
            models.CheckConstraint(
                condition=Q(master__isnull=True) | (~Q(venue_name="") & ~Q(master=F("id"))), name="account_sub_is_named"
            ),
            # G05: one account at the exchange, one row here.
            models.UniqueConstraint(
                fields=["master", "venue_uid"], condition=Q(master__isnull=False), name="account_sub_uid_unique"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def buy_fee_ppm(self) -> int:
        """Return what the exchange may take of a buy's quote, in millionths; 0 where it takes its fee elsewhere."""
        return self.market.buy_fee_ppm


class Credential(models.Model):
    """An API key, encrypted; the secret is never shown again."""

    class Role(models.TextChoices):
        READ = "read"
        TRADE = "trade"
        TRANSFER = "transfer"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="credentials")
    role = models.CharField(max_length=8, choices=Role.choices)
    key_last4 = models.CharField(max_length=4)
    fingerprint = models.CharField(max_length=64)
    sealed = models.TextField(help_text="Encrypted {key, secret}, bound to this account")
    created_at = models.DateTimeField()
    rights = models.JSONField(default=dict, help_text="What the exchange said the key may do")
    checked_at = models.DateTimeField(null=True, blank=True, help_text="When the exchange was asked last")
    trouble = models.CharField(max_length=200, blank=True, default="", help_text="Why the key must not be used")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "role"], name="credential_role_unique"),
            # One key has one place: never two accounts, never paper and live, never reading and trading.
            models.UniqueConstraint(fields=["fingerprint"], name="credential_key_unique"),
        ]


class Lease(models.Model):
    """The right to act, fenced by an epoch that only grows."""

    name = models.CharField(max_length=64, unique=True, help_text="For example trader:1 or feed:2")
    holder = models.CharField(max_length=64, blank=True)
    epoch = models.PositiveBigIntegerField(default=0)
    expires_at = models.DateTimeField(help_text="Wall time")


class Heartbeat(models.Model):
    """A sign of life of one process."""

    process = models.CharField(max_length=64, unique=True)
    beat_at = models.DateTimeField(help_text="Wall time")
    code_hash = models.CharField(max_length=64, blank=True)
    facts = models.JSONField(default=dict)
