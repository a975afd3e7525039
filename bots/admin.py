"""Bots in the admin: started, stopped, paused and flattened through the same services as everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from bots import services
from bots.models import Bot
from bots.modes_admin import BookTransferAdmin, HandOverAdmin, ModeVersionAdmin
from marketdata.admin import ReadOnlyAdmin

# Django looks for records in this module alone.
__all__ = ["BookTransferAdmin", "BotAdmin", "HandOverAdmin", "ModeVersionAdmin"]
Operation = Callable[..., Bot]


@admin.register(Bot)
class BotAdmin(ReadOnlyAdmin):
    """Bots, what they trade and what an operator may have them do."""

    list_display = ("name", "strategy", "interval", "status", "status_reason", "bar_closed_at")
    list_filter = ("status", "strategy")
    actions = ("start", "stop", "pause", "resume", "flatten")

    def has_operate_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Let operators operate them."""
        user = request.user
        return bool(user.is_active and user.is_staff and user.has_perm("bots.start_bot"))

    @admin.action(description="Start", permissions=["operate"])
    def start(self, request: HttpRequest, queryset: QuerySet[Bot]) -> None:
        """Start the chosen bots."""
        self._operate(request, queryset, services.start_bot, "started")

    @admin.action(description="Stop (positions and their stops stay)", permissions=["operate"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Bot]) -> None:
        """Stop the chosen bots."""
        self._operate(request, queryset, services.stop_bot, "stopped")

    @admin.action(description="Pause entries", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Bot]) -> None:
        """Pause the entries of the chosen bots."""
        self._operate(request, queryset, services.pause_bot, "paused")

    @admin.action(description="Resume entries", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Bot]) -> None:
        """Let the chosen bots enter again."""
        self._operate(request, queryset, services.resume_bot, "resumed")

    @admin.action(description="Flatten: cancel orders and sell what the bot holds", permissions=["operate"])
    def flatten(self, request: HttpRequest, queryset: QuerySet[Bot]) -> None:
        """Sell everything the chosen bots hold."""
        self._operate(request, queryset, services.flatten_bot, "flattened")

    def _operate(self, request: HttpRequest, queryset: QuerySet[Bot], operation: Operation, done: str) -> None:
        assert isinstance(request.user, User)
        for bot in queryset:
            facts: dict[str, Any] = {"bot_id": bot.pk, "by": request.user, "now": timezone.now()}
            try:
                operation(**facts)
            except services.UnableToOperate as refused:
                messages.error(request, f"{bot.name}: {refused}")
            else:
                messages.success(request, f"{bot.name} {done}.")
