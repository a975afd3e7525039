"""Money on its way between a master account and its sub-accounts: written down before it is sent, sent once at most."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from portfolio.models.accounts import Account
from portfolio.models.books import Book
from portfolio.models.money import MoneyField


class AccountTransfer(models.Model):
    """One transfer; while it is not ended its amount lies in the sender's IN_TRANSIT pocket."""

    class State(models.TextChoices):
        RECORDED = "recorded", "Written down, not sent"
        SENDING = "sending"
        UNKNOWN = "unknown", "Sent, and nobody has answered for it"
        DONE = "done"
        REFUSED = "refused", "The exchange has proven that it did not happen"
        ABSENT = "absent", "Sent, and never seen by the exchange"

    # What may be on its way at the exchange: never sent again, only read.
    IN_FLIGHT = (State.SENDING, State.UNKNOWN)
    OPEN = (State.RECORDED, *IN_FLIGHT)

    client_id = models.CharField(max_length=32, unique=True, help_text="Our name for it at the exchange")
    master = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="transfers_carried", help_text="Whose key moves it"
    )
    sender = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="transfers_sent")
    receiver = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="transfers_received")
    asset = models.CharField(max_length=16)
    amount = MoneyField()
    value = MoneyField(help_text="In quote at the mark when it was asked for: what limits count, and what both sides book")
    recalled = MoneyField(default=0, help_text="As much of it was taken from the free cash of the sender's bot")
    recalled_from = models.ForeignKey(Book, null=True, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, choices=State.choices, default=State.RECORDED)
    outcome = models.CharField(max_length=200, blank=True, help_text="Why it did not happen")
    exchange_id = models.CharField(max_length=64, blank=True)
    sender_echo = models.CharField(max_length=96, blank=True, help_text="The sender's stream told of it under this reference")
    receiver_echo = models.CharField(max_length=96, blank=True, help_text="And the receiver's under this one")
    attempts = models.PositiveSmallIntegerField(default=0)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    reason = models.CharField(max_length=200, blank=True)
    recorded_at = models.DateTimeField(help_text="Wall time")
    sent_at = models.DateTimeField(null=True, help_text="Wall time")
    ended_at = models.DateTimeField(null=True, help_text="Wall time")

    class Meta:
        indexes = [models.Index(fields=["master", "-recorded_at"])]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="account_transfer_moves_something"),
            models.CheckConstraint(condition=~Q(sender=F("receiver")), name="account_transfer_leaves_the_account"),
            models.CheckConstraint(
                condition=Q(recalled=0) | Q(recalled__gt=0, recalled__lte=F("amount"), recalled_from__isnull=False),
                name="account_transfer_recalls_from_a_book",
            ),
            # Never sent again: the second attempt has no place.
            models.CheckConstraint(condition=Q(attempts__lte=1), name="account_transfer_sent_once"),
            # One at a time: a balance that moved has one explanation.
            models.UniqueConstraint(
                fields=["master"], condition=Q(state__in=["sending", "unknown"]), name="account_transfer_one_in_flight"
            ),
        ]

    def __str__(self) -> str:
        return f"transfer {self.client_id}"
