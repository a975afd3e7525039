"""Transfers between accounts in the admin: every one to read, and a new one asked for through the same service as everywhere."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.forms import ModelForm
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from marketdata.admin import AskingAdmin
from portfolio.models import Account, AccountTransfer
from portfolio.services.transfers import TransferWish, UnableToTransfer, preview_transfer, request_transfers


class TransferForm(ModelForm):  # type: ignore[type-arg]
    """A new transfer; refused with a message where the service would refuse it."""

    sender = forms.ModelChoiceField(Account.objects.filter(is_enabled=True), widget=UnfoldAdminSelectWidget)
    receiver = forms.ModelChoiceField(Account.objects.filter(is_enabled=True), widget=UnfoldAdminSelectWidget)
    asset = forms.CharField(max_length=16, initial="USDT", widget=UnfoldAdminTextInputWidget)
    amount = forms.DecimalField(max_digits=38, decimal_places=18, widget=UnfoldAdminDecimalFieldWidget)
    recall = forms.BooleanField(
        required=False,
        help_text="What is missing comes from the free cash of the sender's one bot",
        widget=UnfoldBooleanSwitchWidget,
    )
    reason = forms.CharField(max_length=200, required=False, widget=UnfoldAdminTextInputWidget)

    class Meta:
        model = AccountTransfer
        fields = ("sender", "receiver", "asset", "amount", "reason")

    def wish(self) -> TransferWish:
        """Return what was asked for."""
        said = self.cleaned_data
        return TransferWish(
            sender_id=said["sender"].pk,
            receiver_id=said["receiver"].pk,
            asset=said["asset"].upper(),
            amount=said["amount"],
            recall=said["recall"],
            reason=said["reason"],
        )

    def clean(self) -> dict[str, Any]:
        """Refuse, before anything is written down, what the service would refuse."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                shown = preview_transfer(self.wish(), now=timezone.now())
            except UnableToTransfer as refused:
                raise forms.ValidationError(str(refused), code=refused.code) from refused
            if shown.code:
                raise forms.ValidationError(shown.message, code=shown.code)
        return cleaned


@admin.register(AccountTransfer)
class AccountTransferAdmin(AskingAdmin):
    """What moved between accounts, and what became of it; adding one asks for a transfer."""

    list_display = ("client_id", "sender", "receiver", "amount", "asset", "state", "recorded_at", "ended_at", "requested_by")
    list_select_related = ("sender", "receiver", "requested_by")
    list_filter = ("state",)
    ordering = ("-id",)
    asking_form = TransferForm
    asking_permission = "portfolio.change_account"
    asking_refusals = (UnableToTransfer,)

    def ask(self, form: Any, *, by: User) -> AccountTransfer:
        """Ask for the transfer."""
        (row,) = request_transfers([form.wish()], by=by, now=timezone.now())
        return row
