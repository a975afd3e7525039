"""Who trades when: the operator's modes in versions, slots of a week, hand-overs, and holdings that passed between books."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from portfolio.models.accounts import Account
from portfolio.models.books import Book
from portfolio.models.money import MoneyField
from trading.handover import Mode, Phase
from trading.rotation import DAY, Policy

MODES = [(str(mode), str(mode).capitalize()) for mode in Mode]
POLICIES = [
    (str(Policy.FLATTEN), "Flatten: sell all"),
    (str(Policy.CARRY), "Carry: exits only"),
    (str(Policy.TRANSFER), "Transfer at mark to the next bot"),
    (str(Policy.WAIT), "Wait for flat, then sell"),
]


class ModeVersion(models.Model):
    """How the account is shared from a moment on; rows are never edited."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="mode_versions")
    number = models.PositiveIntegerField()
    mode = models.CharField(max_length=16, choices=MODES)
    book = models.ForeignKey(Book, null=True, on_delete=models.PROTECT, related_name="+", help_text="Who trades in single mode")
    budget = MoneyField(null=True, help_text="Most that the one who trades is sized by; empty: all there is")
    policy = models.CharField(max_length=8, choices=POLICIES, help_text="What became of holdings at this change")
    wait_minutes = models.PositiveIntegerField(default=0)
    zone = models.CharField(max_length=64, default="UTC", help_text="Where the slots' clock hangs")
    is_gap_idle = models.BooleanField(default=False)
    traded = models.JSONField(default=dict, help_text="Instruments of each book, as its bot said at this change")
    market_at = models.DateTimeField(help_text="Market time")
    set_at = models.DateTimeField(help_text="Wall time")
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "number"], name="mode_version_unique"),
            models.CheckConstraint(condition=Q(mode__in=[str(mode) for mode in Mode]), name="mode_known"),
            models.CheckConstraint(condition=~Q(mode=str(Mode.SINGLE)) | Q(book__isnull=False), name="mode_single_names_a_book"),
            models.CheckConstraint(condition=Q(budget__isnull=True) | Q(budget__gt=0), name="mode_budget_above_zero"),
        ]

    def __str__(self) -> str:
        return f"mode {self.number}: {self.mode}"


class RotationSlot(models.Model):
    """A time of day on some days of the week that belongs to one book, or to nobody."""

    version = models.ForeignKey(ModeVersion, on_delete=models.CASCADE, related_name="slots")
    place = models.PositiveSmallIntegerField(help_text="As it was written down")
    days = models.PositiveSmallIntegerField(help_text="Bit 0 is Monday")
    begin_minute = models.PositiveSmallIntegerField()
    end_minute = models.PositiveSmallIntegerField(help_text="Not after the begin: on the next day")
    book = models.ForeignKey(Book, null=True, on_delete=models.PROTECT, related_name="+")
    policy = models.CharField(max_length=8, choices=POLICIES)
    wait_minutes = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["place"]
        constraints = [
            models.UniqueConstraint(fields=["version", "place"], name="rotation_slot_unique"),
            models.CheckConstraint(
                condition=Q(days__gt=0, days__lt=128, begin_minute__lt=DAY, end_minute__gt=0, end_minute__lte=DAY)
                & ~Q(begin_minute=F("end_minute")),
                name="rotation_slot_has_length",
            ),
        ]

    def __str__(self) -> str:
        return f"slot {self.place}"


class HandOver(models.Model):
    """The account passing from some books to others; the newest says who may enter."""

    OVERTAKEN = "overtaken"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="hand_overs")
    epoch = models.PositiveBigIntegerField(help_text="Only grows: who acts for an older one is late (I-34)")
    version = models.ForeignKey(ModeVersion, on_delete=models.PROTECT, related_name="hand_overs")
    phase = models.CharField(max_length=16, choices=[*((str(phase), str(phase)) for phase in Phase), (OVERTAKEN, OVERTAKEN)])
    incoming = models.JSONField(help_text="Books that trade once it is settled")
    outgoing = models.JSONField(help_text="Books that leave")
    policy = models.CharField(max_length=8, choices=POLICIES)
    began_at = models.DateTimeField(help_text="Market time")
    wait_until = models.DateTimeField(null=True, help_text="Market time at which waiting for flat ends")
    settled_at = models.DateTimeField(null=True, help_text="Market time")
    turn_until = models.DateTimeField(null=True, help_text="Market time at which the account passes on again")
    policy_after = models.CharField(max_length=8, choices=POLICIES, help_text="What becomes of holdings then")
    wait_minutes_after = models.PositiveIntegerField(default=0)
    facts = models.JSONField(default=dict, help_text="Capital that moved, by book")
    recorded_at = models.DateTimeField(help_text="Wall time")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "epoch"], name="hand_over_epoch_unique"),
            # I-34: the account passes to one side at a time.
            models.UniqueConstraint(
                fields=["account"],
                condition=Q(phase__in=[str(Phase.CLOSING), str(Phase.RELEASING)]),
                name="hand_over_one_at_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(phase=str(Phase.SETTLED)) | Q(settled_at__isnull=False), name="hand_over_settled_at_some_time"
            ),
        ]

    def __str__(self) -> str:
        return f"hand-over {self.epoch}"


class DeficitCover(models.Model):
    """Coins that paid what a book owed, bought at their mark; the ledger's movement carries them and their price."""

    book = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="covers")
    source = models.ForeignKey(
        Book, null=True, on_delete=models.PROTECT, related_name="covers_given", help_text="Empty: the operator's pool"
    )
    instrument = models.ForeignKey("marketdata.Instrument", on_delete=models.PROTECT, related_name="+")
    quantity = MoneyField()
    mark = MoneyField()
    value = MoneyField(help_text="What the book paid for it")
    realised = MoneyField(help_text="What the book gained by it")
    realised_source = MoneyField(help_text="What the source gained by it")
    ledger_seq = models.PositiveBigIntegerField()
    market_at = models.DateTimeField(help_text="Market time")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(quantity__gt=0, mark__gt=0), name="deficit_cover_moves_something")]

    def __str__(self) -> str:
        return f"cover {self.pk}"


class BookTransfer(models.Model):
    """A holding that passed from one book to another at its mark; the ledger's movement carries the coins."""

    hand_over = models.ForeignKey(HandOver, on_delete=models.PROTECT, related_name="transfers")
    book_before = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="transfers_out")
    book_after = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="transfers_in")
    instrument = models.ForeignKey("marketdata.Instrument", on_delete=models.PROTECT, related_name="+")
    quantity = MoneyField()
    mark = MoneyField()
    value = MoneyField(help_text="Quantity at the mark: capital that left one book and came to the other")
    realised = MoneyField(help_text="What the book before had gained on it")
    ledger_seq = models.PositiveBigIntegerField()
    market_at = models.DateTimeField(help_text="Market time")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(quantity__gt=0, mark__gt=0), name="book_transfer_moves_something")]

    def __str__(self) -> str:
        return f"transfer {self.pk}"
