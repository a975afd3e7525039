"""Limits in the admin: every version to read, and a new one set through the same service as everywhere."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from marketdata.admin import AskingAdmin
from portfolio import services
from portfolio.jobs.risk_preview import Forecast
from portfolio.models import Account, Book, RiskLimits
from portfolio.selectors.risk import LIMIT_NAMES
from portfolio.services import UnableToLimit


class LimitsForm(ModelForm):  # type: ignore[type-arg]
    """New limits; what is left empty stays as it is, and what the service would refuse is refused with its message."""

    # Raising takes an administrator.
    may_raise = False
    forecast: Forecast

    account = forms.ModelChoiceField(Account.objects.filter(is_enabled=True), widget=UnfoldAdminSelectWidget)
    book = forms.ModelChoiceField(
        Book.objects.select_related("account").order_by("account", "number"),
        required=False,
        help_text="Empty: the account itself",
        widget=UnfoldAdminSelectWidget,
    )
    reason = forms.CharField(max_length=200, help_text="The audit keeps it", widget=UnfoldAdminTextInputWidget)

    class Meta:
        model = RiskLimits
        fields = ("account", "book", *LIMIT_NAMES, "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in LIMIT_NAMES:
            field = self.fields[name]
            field.required = False
            if isinstance(field, forms.DecimalField):
                field.widget = UnfoldAdminDecimalFieldWidget()
            elif isinstance(field, forms.IntegerField):
                field.widget = UnfoldAdminIntegerFieldWidget()

    def changes(self) -> dict[str, Any]:
        """Return the limits that were filled in."""
        return {name: self.cleaned_data[name] for name in LIMIT_NAMES if self.cleaned_data.get(name) not in (None, "")}

    @property
    def book_id(self) -> int | None:
        """Return whose limits they are; None for the account's."""
        book = self.cleaned_data["book"]
        return None if book is None else int(book.pk)

    def clean(self) -> dict[str, Any]:
        """Refuse, before anything is written down, what the service would refuse."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        if not self.changes():
            raise forms.ValidationError("Fill in at least one limit.", code="LIMIT_NONE")
        try:
            self.forecast = services.preview_limits(
                account_id=cleaned["account"].pk, changes={self.book_id: self.changes()}, now=timezone.now()
            )
        except UnableToLimit as refused:
            raise forms.ValidationError(str(refused), code=refused.code) from refused
        lifted = sorted({name for names in self.forecast.raised.values() for name in names})
        if lifted and not self.may_raise:
            raise forms.ValidationError(f"Only an administrator may raise {', '.join(lifted)}.", code="RISK_RAISE_NEEDS_ADMIN")
        return cleaned


@admin.register(RiskLimits)
class RiskLimitsAdmin(AskingAdmin):
    """Versions of limits; adding one sets them, and says what they do now."""

    list_display = ("account", "book", "version", *LIMIT_NAMES, "set_at", "set_by", "reason")
    list_select_related = ("account", "book", "set_by")
    ordering = ("-id",)
    asking_form = LimitsForm
    asking_permission = "portfolio.change_account"
    asking_refusals = (UnableToLimit,)

    def form_for(self, request: HttpRequest) -> type[LimitsForm]:
        """Return a form that knows whether this person may raise limits."""
        return type(LimitsForm.__name__, (LimitsForm,), {"may_raise": bool(request.user.is_superuser)})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Set the limits, and say what they do now."""
        super().save_model(request, obj, form, change)
        for sentence in filter(None, (row.sentence for row in form.forecast.rows)):
            messages.warning(request, f"As it was when you asked: {sentence}")

    def ask(self, form: Any, *, by: User) -> RiskLimits:
        """Set the limits."""
        return services.set_limits(
            account_id=form.cleaned_data["account"].pk,
            book_id=form.book_id,
            changes=form.changes(),
            reason=form.cleaned_data["reason"],
            may_raise=form.may_raise,
            by=by,
            now=timezone.now(),
        )
