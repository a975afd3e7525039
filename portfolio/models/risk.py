"""What may be lost: limits in versions, what each day began with, and what is latched until a person lets go."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from portfolio.models.accounts import Account
from portfolio.models.books import Book
from portfolio.models.money import MoneyField


def _percent(help_text: str) -> models.DecimalField:  # type: ignore[type-arg]
    # The account's row has every limit; a book's row names those that differ.
    return models.DecimalField(max_digits=7, decimal_places=4, null=True, help_text=help_text)


class RiskLimits(models.Model):
    """The limits of an account, or where a book's differ from them, from a version on; rows are never edited."""

    class Opposite(models.TextChoices):
        ALLOW = "allow", "Each from its own book"
        REFUSE = "refuse", "No entry against another bot's sale"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="risk_limits")
    book = models.ForeignKey(Book, null=True, on_delete=models.CASCADE, related_name="risk_limits")
    version = models.PositiveIntegerField()
    soft_loss_percent = _percent("Of the day's start: no entry may bring the worst case beyond it")
    hard_loss_percent = _percent("Of the day's start: beyond it everything is sold and entries stay shut")
    fall_percent = _percent("How far a holding without a stop is assumed to fall before it is sold")
    collar_percent = _percent("How far a buy may pay above mark and last close, and these may differ")
    order_value_max = MoneyField(null=True, help_text="Largest entry in quote")
    orders_per_minute = models.PositiveIntegerField(null=True, help_text="Entries accepted per minute of market time")
    repeats_max = models.PositiveSmallIntegerField(null=True, help_text="Entries in a row that may bring nothing")
    opposite_positions = models.CharField(max_length=8, blank=True, choices=Opposite.choices)
    volume_day_min = MoneyField(null=True, help_text="Least traded in quote in 24 hours where anybody buys; 0: any")
    set_at = models.DateTimeField(help_text="Wall time")
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name_plural = "risk limits"
        constraints = [
            models.UniqueConstraint(fields=["account", "book", "version"], name="risk_limits_unique", nulls_distinct=False),
            models.CheckConstraint(
                condition=Q(soft_loss_percent__gt=0, hard_loss_percent__lt=10, soft_loss_percent__lte=F("hard_loss_percent"))
                | Q(book__isnull=False),
                name="risk_caps_in_order",
            ),
            # G11: there is no account without a largest order, and no word for "unlimited".
            models.CheckConstraint(
                # A comparison with NULL is neither true nor false, and so would pass.
                condition=Q(
                    soft_loss_percent__isnull=False,
                    hard_loss_percent__isnull=False,
                    order_value_max__isnull=False,
                    fall_percent__isnull=False,
                    collar_percent__isnull=False,
                    repeats_max__isnull=False,
                    order_value_max__gt=0,
                    fall_percent__gt=0,
                    fall_percent__lte=100,
                    collar_percent__gt=0,
                    orders_per_minute__isnull=False,
                    repeats_max__gt=0,
                )
                | Q(book__isnull=False),
                name="risk_account_limits_complete",
            ),
        ]

    def __str__(self) -> str:
        return f"limits {self.version}"


class RiskDay(models.Model):
    """What an account or a book was worth when a day of market time began; a restart finds it again."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="risk_days")
    book = models.ForeignKey(Book, null=True, on_delete=models.CASCADE, related_name="risk_days")
    market_date = models.DateField(help_text="Day of market time, UTC")
    equity = MoneyField()
    net_flows = MoneyField(help_text="Capital put in minus taken out when the equity was taken")
    market_at = models.DateTimeField(help_text="Market time of the equity")
    recorded_at = models.DateTimeField(help_text="Wall time")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "book", "market_date"], name="risk_day_unique", nulls_distinct=False),
        ]

    def __str__(self) -> str:
        return f"{self.market_date}"


class RiskLatch(models.Model):
    """Entries of a book, or of the whole account, are shut until a person lets go."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="risk_latches")
    book = models.ForeignKey(Book, null=True, on_delete=models.CASCADE, related_name="risk_latches")
    code = models.CharField(max_length=48, help_text="Reason code")
    facts = models.JSONField(default=dict)
    market_at = models.DateTimeField(help_text="Market time")
    latched_at = models.DateTimeField(help_text="Wall time")
    released_at = models.DateTimeField(null=True, help_text="Wall time")
    released_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    release_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name_plural = "risk latches"
        constraints = [
            models.UniqueConstraint(
                fields=["account", "book", "code"],
                condition=Q(released_at__isnull=True),
                name="risk_latch_open_once",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return self.code
