"""Trials in the admin: what was asked and what came of it to read; ended, gone on with and applied through the services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.forms import ActionForm
from unfold.widgets import UnfoldBooleanSwitchWidget

from marketdata.admin import ReadOnlyAdmin
from portfolio.services.allocations import UnableToAllocate
from trials import services
from trials.models import Trial, TrialLeg
from trials.spec import UnableToTry


class DoubtsForm(ActionForm):  # type: ignore[misc]
    """Whether a proposal is wanted although the sample supports no choice."""

    despite_doubts = forms.BooleanField(
        label="Apply although the sample supports no choice", required=False, widget=UnfoldBooleanSwitchWidget()
    )


@admin.register(Trial)
class TrialAdmin(ReadOnlyAdmin):
    """Trials, how they ended and which shares they made."""

    list_display = ("__str__", "account", "kind", "state", "hours", "rounds", "requested_by", "requested_at", "applied_version")
    list_select_related = ("account", "requested_by")
    list_filter = ("kind", "state")
    ordering = ("-id",)
    action_form = DoubtsForm
    actions = ("cancel", "resume", "apply")

    def has_operate_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Let operators end, continue and apply them."""
        user = request.user
        return bool(user.is_active and user.is_staff and user.has_perm("trials.cancel_trial"))

    @admin.action(description="Cancel (finished turns stay)", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Trial]) -> None:
        """End the chosen trials."""
        self._operate(request, queryset, services.cancel_trial, "ends")

    @admin.action(description="Go on with what was cancelled or failed", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Trial]) -> None:
        """Go on with the chosen trials."""
        self._operate(request, queryset, services.resume_trial, "goes on")

    @admin.action(description="Make the proposal the shares (a new version, with rollback)", permissions=["operate"])
    def apply(self, request: HttpRequest, queryset: QuerySet[Trial]) -> None:
        """Apply what a trial proposes."""
        if queryset.count() > 1:
            messages.error(request, "Choose one trial: an account has one set of shares.")
            return
        wanted = bool(request.POST.get("despite_doubts"))
        self._operate(request, queryset, services.apply_proposal, "is applied", despite_doubts=wanted)

    def _operate(
        self, request: HttpRequest, queryset: QuerySet[Trial], operation: Callable[..., Any], done: str, **more: Any
    ) -> None:
        assert isinstance(request.user, User)
        for trial in queryset.order_by("id"):
            try:
                operation(trial_id=trial.pk, by=request.user, now=timezone.now(), **more)
            except (UnableToTry, UnableToAllocate) as refused:
                messages.error(request, f"Trial {trial.pk}: {refused}")
            else:
                messages.success(request, f"Trial {trial.pk} {done}.")


@admin.register(TrialLeg)
class TrialLegAdmin(ReadOnlyAdmin):
    """The turns: whose it was, when, and what it came to."""

    list_display = ("trial", "number", "name", "state", "begin_at", "end_at", "pnl", "fees", "note")
    list_select_related = ("trial",)
    list_filter = ("state",)
    ordering = ("-trial", "number")
