"""Markets in the admin: for reading; what the exchange says is not edited."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import DecimalField, Model
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from marketdata.models import Instrument, Market
from trading.ledger import plain

# Where a request keeps what the service said against it.
_REFUSAL: Final = "tradeapp.refusal"

Column = str | Callable[[Model], str]


@cache
def _amount_column(field: DecimalField[Any, Any]) -> Callable[[Model], str]:
    """Make a column that writes an amount without its trailing zeros."""

    @admin.display(description=field.verbose_name, ordering=field.name)
    def amount(row: Model) -> str:
        value = getattr(row, field.name)
        return "-" if value is None else plain(value)

    return amount


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """Shows rows to staff and lets nobody add, change or delete them."""

    list_per_page = 50
    # Counting all rows of a journal for the page's heading would read the whole table.
    show_full_result_count = False

    def get_list_display(self, request: HttpRequest) -> tuple[Column, ...]:
        """List amounts as people write them."""
        return self._columns(super().get_list_display(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[Column, ...]:
        """Show every column as text unless the page names its own."""
        return self._columns(self.readonly_fields or [field.name for field in self.opts.concrete_fields])

    def _columns(self, names: Iterable[Column]) -> tuple[Column, ...]:
        amounts = {field.name: field for field in self.opts.concrete_fields if isinstance(field, DecimalField)}
        return tuple(_amount_column(amounts[name]) if name in amounts else name for name in names)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Let every member of staff read."""
        return bool(request.user.is_active and request.user.is_staff)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the section to every member of staff."""
        return bool(request.user.is_active and request.user.is_staff)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Refuse to add."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse to change."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse to delete."""
        return False


class AskingAdmin(ReadOnlyAdmin):
    """Shows rows, and asks for a new one with a form of its own, through the service that everybody asks."""

    asking_form: type[ModelForm[Any]]
    # Whoever has it may ask.
    asking_permission: str
    # What the service may still refuse after the form was found good: somebody else was quicker.
    asking_refusals: tuple[type[Exception], ...] = ()

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Let those ask who have the permission."""
        user = request.user
        return bool(user.is_active and user.is_staff and user.has_perm(self.asking_permission))

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Show what was asked for as text."""
        return super().get_readonly_fields(request, obj) if obj is not None else ()

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Show the form, or the columns of what was asked for."""
        return list(self.asking_form.base_fields) if obj is None else self.get_readonly_fields(request, obj)

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Build the form; one that the service has refused says why, above what was typed."""
        form_class, refusal = self.form_for(request), request.META.get(_REFUSAL)
        if refusal is None:
            return form_class

        def clean(form: ModelForm[Any]) -> Any:
            cleaned = form_class.clean(form)
            form.add_error(None, refusal)
            return cleaned

        return type("RefusedForm", (form_class,), {"clean": clean, "__module__": __name__})

    def form_for(self, request: HttpRequest) -> type[ModelForm[Any]]:
        """Return the form that this person fills in."""
        return self.asking_form

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show the form again, with words, when the service refuses; nothing was written."""
        try:
            return super().add_view(request, *args, **kwargs)
        except self.asking_refusals as refused:
            request.META[_REFUSAL] = str(refused)
            return super().add_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Ask the service, and show the row that it wrote."""
        assert isinstance(request.user, User)
        row = self.ask(form, by=request.user)
        vars(obj).update({name: value for name, value in vars(row).items() if name != "_state"})

    def ask(self, form: Any, *, by: User) -> Model:
        """Ask the service for what the form says, and return the row it wrote."""
        raise NotImplementedError


@admin.register(Market)
class MarketAdmin(ReadOnlyAdmin):
    """Markets and how far their time has come."""

    list_display = ("exchange", "label", "is_synthetic", "market_time_at")


@admin.register(Instrument)
class InstrumentAdmin(ReadOnlyAdmin):
    """Instruments and the filters in force."""

    list_display = ("symbol", "market", "tick_size", "lot_size", "notional_min", "filters_version")
    list_select_related = ("market",)
    search_fields = ("symbol",)
