"""Modes in the admin: every choice and every hand-over to read, and a new choice made through the same service as everywhere."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.forms import ModelForm
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from bots import services
from marketdata.admin import AskingAdmin, ReadOnlyAdmin
from portfolio.models import Account, BookTransfer, HandOver, ModeVersion
from portfolio.models.modes import POLICIES
from portfolio.services.modes import UnableToSwitch
from trading.handover import Mode
from trading.rotation import Policy

_MODES = [(str(mode), str(mode)) for mode in Mode]


class SwitchForm(ModelForm):  # type: ignore[type-arg]
    """A new choice of a mode; refused with a message where the service would refuse it."""

    account = forms.ModelChoiceField(Account.objects.filter(is_enabled=True), widget=UnfoldAdminSelectWidget)
    mode = forms.ChoiceField(choices=_MODES, widget=UnfoldAdminSelectWidget)
    bot = forms.CharField(max_length=64, required=False, help_text="Who trades in single mode", widget=UnfoldAdminTextInputWidget)
    rotation = forms.CharField(
        max_length=20_000,
        required=False,
        help_text="Slots, one a line: mon-fri 08:00-14:00 GridTrading flatten",
        widget=UnfoldAdminTextareaWidget,
    )
    policy = forms.ChoiceField(choices=POLICIES, label="Open positions now", widget=UnfoldAdminSelectWidget)
    wait_minutes = forms.IntegerField(min_value=0, max_value=1440, initial=0, widget=UnfoldAdminIntegerFieldWidget)
    budget = forms.DecimalField(
        required=False, help_text="Most that the one who trades is sized by", widget=UnfoldAdminDecimalFieldWidget
    )
    reason = forms.CharField(max_length=200, required=False, widget=UnfoldAdminTextInputWidget)

    class Meta:
        model = ModeVersion
        fields = ("account", "mode", "policy", "wait_minutes", "budget", "reason")

    def wish(self) -> services.Wish:
        """Return what was asked for."""
        said = self.cleaned_data
        return services.Wish(
            mode=said["mode"],
            bot=said["bot"],
            budget=said["budget"],
            policy=Policy(said["policy"]),
            wait_minutes=said["wait_minutes"],
            rotation=said["rotation"],
        )

    def clean(self) -> dict[str, Any]:
        """Refuse, before anything changes, what the service would refuse."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                preview = services.preview_switch(account_id=cleaned["account"].pk, wish=self.wish(), now=timezone.now())
            except UnableToSwitch as refused:
                raise forms.ValidationError(str(refused), code=refused.code) from refused
            problems = [finding.message for finding in preview.findings if finding.is_refusal]
            problems += [f"Nobody knows yet what has become of {name}." for name in preview.unknown_orders]
            if problems:
                raise forms.ValidationError(problems)
        return cleaned


@admin.register(ModeVersion)
class ModeVersionAdmin(AskingAdmin):
    """Who chose which mode and why; adding one switches."""

    list_display = ("number", "account", "mode", "book", "budget", "set_by", "set_at", "reason")
    list_select_related = ("account", "book", "set_by")
    ordering = ("-id",)
    asking_form = SwitchForm
    asking_permission = "portfolio.change_account"
    asking_refusals = (UnableToSwitch,)

    def ask(self, form: Any, *, by: User) -> ModeVersion:
        """Switch."""
        return services.switch_mode(
            account_id=form.cleaned_data["account"].pk,
            wish=form.wish(),
            by=by,
            now=timezone.now(),
            reason=form.cleaned_data["reason"],
        )


@admin.register(HandOver)
class HandOverAdmin(ReadOnlyAdmin):
    """How the account passed from bot to bot."""

    list_display = ("epoch", "account", "phase", "policy", "began_at", "settled_at", "turn_until")
    list_select_related = ("account",)
    list_filter = ("phase", "policy")
    ordering = ("-id",)


@admin.register(BookTransfer)
class BookTransferAdmin(ReadOnlyAdmin):
    """Holdings that passed between bots at their mark."""

    list_display = ("market_at", "book_before", "book_after", "instrument", "quantity", "mark", "value", "realised")
    list_select_related = ("book_before", "book_after", "instrument")
    ordering = ("-id",)
