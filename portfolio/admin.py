"""The money world in the admin: shares are edited through the services, the journal is for reading."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from marketdata.admin import ReadOnlyAdmin
from portfolio import services
from portfolio.limits_admin import RiskLimitsAdmin
from portfolio.models import (
    Account,
    Alarm,
    Allocation,
    AllocationVersion,
    AuditEntry,
    DecisionRecord,
    Fill,
    LedgerAccount,
    LedgerEntry,
    LedgerTransaction,
    Order,
    Position,
    Reconciliation,
    ReconciliationLine,
    Reservation,
    RiskDay,
    RiskLatch,
)
from portfolio.selectors import account_overview
from portfolio.transfers_admin import AccountTransferAdmin
from trading.ledger import plain

# Django looks for records in this module alone.
__all__ = ["AccountTransferAdmin", "RiskLimitsAdmin"]
_PERCENT = "percent_"


class SharesForm(ModelForm):  # type: ignore[type-arg]
    """The shares of an account's books; checked by the plan that would be carried out."""

    class Meta:
        model = Account
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for book in account_overview(self.instance.pk).books:
            self.fields[f"{_PERCENT}{book.book_id}"] = forms.DecimalField(
                label=f"{book.name}, percent",
                initial=plain(book.percent),
                max_digits=7,
                decimal_places=4,
                widget=UnfoldAdminDecimalFieldWidget,
            )
        self.fields["rebase"] = forms.BooleanField(
            label="Deal out gains and losses as well",
            required=False,
            help_text="Otherwise a bot whose share stays keeps what it has.",
            widget=UnfoldBooleanSwitchWidget,
        )

    def percents(self) -> dict[int, Decimal]:
        """Return the shares by book."""
        return {
            int(name.removeprefix(_PERCENT)): value
            for name, value in self.cleaned_data.items()
            if name.startswith(_PERCENT) and value is not None
        }

    def clean(self) -> dict[str, Any]:
        """Refuse, before anything changes, what the service would refuse."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                services.preview_allocations(
                    account_id=self.instance.pk, percents=self.percents(), rebase=cleaned.get("rebase", False)
                )
            except services.UnableToAllocate as refused:
                raise forms.ValidationError(str(refused), code=refused.code) from refused
        return cleaned


class ReasonForm(ActionForm):  # type: ignore[misc]
    """Why everything should stop, or go on; the audit keeps it."""

    reason = forms.CharField(label="Reason", max_length=200, required=False, widget=UnfoldAdminTextInputWidget())


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """Accounts: their state for reading, their books' shares for editing."""

    list_display = ("name", "master", "mode", "market", "state", "state_reason", "is_killed", "synced_through_at")
    list_select_related = ("market", "master")
    form = SharesForm
    action_form = ReasonForm
    actions = ("kill", "release_kill")
    readonly_fields = ("name", "market", "mode", "state", "state_reason", "is_killed", "killed_reason", "synced_through_at")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Let those who may change accounts edit shares."""
        user = request.user
        return bool(user.is_active and user.is_staff and user.has_perm("portfolio.change_account"))

    @admin.action(description="Stop all bots (kill switch)", permissions=["change"])
    def kill(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        """Stop all entries of the accounts at once and cancel what rests."""
        assert isinstance(request.user, User)
        reason = request.POST.get("reason", "").strip() or "stopped in the admin"
        for account in queryset:
            services.kill(account.pk, by=request.user, reason=reason, now=timezone.now())
            messages.warning(request, f"{account.name} is stopped until an administrator releases it.")

    @admin.action(description="Release the kill switch (needs a reason)", permissions=["release"])
    def release_kill(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        """Let the accounts enter again."""
        assert isinstance(request.user, User)
        reason = request.POST.get("reason", "").strip()
        if not reason:
            messages.error(request, "Say why it is safe to trade again: nothing was released.")
            return
        for account in queryset:
            services.release_kill(account.pk, by=request.user, reason=reason, now=timezone.now())
            messages.success(request, f"{account.name} is released.")

    def has_release_permission(self, request: HttpRequest) -> bool:
        """Have administrators alone release."""
        return bool(request.user.is_active and request.user.is_superuser)

    def get_form(self, request: HttpRequest, obj: Account | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Build the form with one field for each book."""
        return SharesForm

    def get_fieldsets(self, request: HttpRequest, obj: Account | None = None) -> Any:
        """Show the shares first, the account's state below."""
        if obj is None or not self.has_change_permission(request, obj):
            return [(None, {"fields": self.readonly_fields})]
        shares = [f"{_PERCENT}{book.book_id}" for book in account_overview(obj.pk).books]
        return [("Shares", {"fields": [*shares, "rebase"]}), ("Account", {"fields": self.readonly_fields})]

    def save_model(self, request: HttpRequest, obj: Account, form: SharesForm, change: bool) -> None:
        """Carry the plan out through the service; nothing else of an account is saved here."""
        assert isinstance(request.user, User)
        plan = services.set_allocations(
            account_id=obj.pk,
            percents=form.percents(),
            by=request.user,
            now=timezone.now(),
            rebase=form.cleaned_data["rebase"],
        )
        for share in plan.shares:
            messages.info(
                request,
                f"{plain(share.percent)} %: target {share.target:.2f}, moved {share.moved:+.2f}, funded {share.funded:.2f}",
            )


@admin.register(Allocation)
class AllocationAdmin(ReadOnlyAdmin):
    """The history of shares."""

    list_display = ("book", "percent", "amount", "effective_at", "set_by", "plan")
    list_select_related = ("book", "set_by")
    list_filter = ("book",)
    ordering = ("-id",)


@admin.register(AllocationVersion)
class AllocationVersionAdmin(ReadOnlyAdmin):
    """Versions of the shares; the allocation page shows what each changed, and goes back."""

    list_display = (
        "account", "number", "cause", "note", "restored", "total", "reserve_percent", "band_percent", "rebase_hours",
        "rebases_after_flows", "set_at", "set_by",
    )  # fmt: skip
    list_select_related = ("account", "set_by")
    list_filter = ("cause",)
    ordering = ("-id",)


class EntryInline(admin.TabularInline):  # type: ignore[type-arg]
    """The legs of a ledger transaction."""

    model = LedgerEntry
    fields = ("ledger_account", "amount")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse to add."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse to change."""
        return False


@admin.register(LedgerTransaction)
class LedgerTransactionAdmin(ReadOnlyAdmin):
    """The journal."""

    list_display = ("seq", "account", "kind", "reference", "market_at", "hash")
    list_select_related = ("account",)
    list_filter = ("kind",)
    search_fields = ("reference",)
    ordering = ("-id",)
    inlines = (EntryInline,)


@admin.register(LedgerAccount)
class LedgerAccountAdmin(ReadOnlyAdmin):
    """Pockets and their balances."""

    list_display = ("account", "book", "kind", "asset", "balance")
    list_select_related = ("account", "book")
    list_filter = ("kind", "asset")


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    """Orders."""

    list_display = ("client_order_id", "book", "instrument", "side", "type", "quantity", "price", "status", "reason", "market_at")
    list_select_related = ("book", "instrument")
    list_filter = ("status", "side", "type")
    search_fields = ("client_order_id", "exchange_order_id")
    ordering = ("-id",)


@admin.register(Fill)
class FillAdmin(ReadOnlyAdmin):
    """Fills."""

    list_display = ("trade_id", "book", "instrument", "side", "quantity", "price", "fee", "fee_asset", "realised", "traded_at")
    list_select_related = ("book", "instrument")
    list_filter = ("side", "book")
    ordering = ("-id",)


@admin.register(DecisionRecord)
class DecisionRecordAdmin(ReadOnlyAdmin):
    """Decisions and why."""

    list_display = ("book", "bar_closed_at", "action", "reason", "outcome", "denial")
    list_select_related = ("book",)
    list_filter = ("action", "outcome", "book")
    ordering = ("-id",)


@admin.register(Position)
class PositionAdmin(ReadOnlyAdmin):
    """Positions."""

    list_display = ("book", "instrument", "quantity", "cost", "realised", "fees", "stop_price", "is_unprotected")
    list_select_related = ("book", "instrument")


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    """Capital held for orders."""

    list_display = ("order", "asset", "initial", "remaining", "posted", "voided")
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reservation]:
        """Read orders along."""
        return Reservation.objects.select_related("order")


class ReconciliationLineInline(admin.TabularInline):  # type: ignore[type-arg]
    """The assets of a reconciliation."""

    model = ReconciliationLine
    fields = ("asset", "ledger", "suspense", "exchange", "residual")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse to add."""
        return False


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    """Comparisons with the exchange."""

    list_display = ("finished_at", "account", "cause", "outcome", "market_at", "duration_ms")
    list_select_related = ("account",)
    list_filter = ("outcome", "cause")
    ordering = ("-id",)
    inlines = (ReconciliationLineInline,)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who changed what."""

    list_display = ("at", "actor_name", "action", "subject", "request_id")
    list_filter = ("action",)
    search_fields = ("subject",)


@admin.register(RiskDay)
class RiskDayAdmin(ReadOnlyAdmin):
    """What each day of market time began with."""

    list_display = ("market_date", "account", "book", "equity", "net_flows", "market_at", "recorded_at")
    list_select_related = ("account", "book")
    ordering = ("-id",)


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    """What a person must have seen; the page and the API acknowledge."""

    list_display = (
        "raised_at", "account", "book", "code", "subject", "is_critical", "count", "cleared_at", "acknowledged_at",
        "acknowledged_by", "acknowledgement",
    )  # fmt: skip
    list_select_related = ("account", "book", "acknowledged_by")
    list_filter = ("code", "is_critical")
    ordering = ("-id",)


@admin.register(RiskLatch)
class RiskLatchAdmin(ReadOnlyAdmin):
    """What is or was shut, and who let go."""

    list_display = ("latched_at", "account", "book", "code", "market_at", "released_at", "released_by", "release_reason")
    list_select_related = ("account", "book", "released_by")
    list_filter = ("code",)
    ordering = ("-id",)
