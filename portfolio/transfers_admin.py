"""Transfers between accounts in the admin: every one to read, and a new one asked for through the same service as everywhere."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from marketdata.admin import ReadOnlyAdmin
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
class AccountTransferAdmin(ReadOnlyAdmin):
    """What moved between accounts, and what became of it; adding one asks for a transfer."""

    list_display = ("client_id", "sender", "receiver", "amount", "asset", "state", "recorded_at", "ended_at", "requested_by")
    list_select_related = ("sender", "receiver", "requested_by")
    list_filter = ("state",)
    ordering = ("-id",)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Let those who may change accounts ask for transfers."""
        user = request.user
        return bool(user.is_active and user.is_staff and user.has_perm("portfolio.change_account"))

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Show a transfer that was asked for as text."""
        return super().get_readonly_fields(request, obj) if obj is not None else ()

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Show the form of a new transfer, or the columns of one."""
        return list(TransferForm.base_fields) if obj is None else self.get_readonly_fields(request, obj)

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Build the form of a new transfer."""
        return TransferForm

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Ask through the service, which writes the transfer down."""
        assert isinstance(request.user, User)
        (row,) = request_transfers([form.wish()], by=request.user, now=timezone.now())
        vars(obj).update({name: value for name, value in vars(row).items() if name != "_state"})
