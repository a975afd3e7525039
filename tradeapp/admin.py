"""Other people's records in the admin, as an operator needs them: the schedule is for reading, the rest of it for nobody."""

from __future__ import annotations

from django.contrib import admin, messages
from django.contrib.auth.models import Group, User
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from marketdata.admin import ReadOnlyAdmin
from portfolio import asking
from tradeapp import people, roles

admin.site.unregister([ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule, PeriodicTask])


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ReadOnlyAdmin):
    """What beat rings, how often, and when it last did; the code sets the schedule at every start."""

    list_display = ("name", "task", "queue", "interval", "crontab", "enabled", "last_run_at", "total_run_count")
    list_select_related = ("interval", "crontab")


admin.site.unregister([User, Group])


@admin.register(User)
class PersonAdmin(ReadOnlyAdmin):
    """Who may sign in. Roles are given, and people invited, on the security page: it asks who you are again."""

    list_display = ("username", "role", "is_active", "last_login")
    fields = readonly_fields = ("username", "email", "role", "is_active", "last_login", "date_joined")
    search_fields = ("username",)
    actions = ("disable", "enable")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Show people to administrators."""
        return bool(request.user.is_active and request.user.is_superuser)

    has_module_permission = has_view_permission

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Have administrators alone let people in and out."""
        return self.has_view_permission(request)

    @admin.display(description="role")
    def role(self, user: User) -> str:
        """Return what they are here."""
        return roles.stored_role(user)

    @admin.action(description="Disable: end sessions, silence tokens", permissions=["steer"])
    def disable(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Keep people out."""
        self._set_active(request, queryset, is_active=False)

    @admin.action(description="Let in again", permissions=["steer"])
    def enable(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Let people in again."""
        self._set_active(request, queryset, is_active=True)

    def _set_active(self, request: HttpRequest, queryset: QuerySet[User], *, is_active: bool) -> None:
        assert isinstance(request.user, User)
        asking.demand_confirmation("change who may sign in")
        for user in queryset:
            try:
                people.set_active(user_id=user.pk, is_active=is_active, by=request.user, now=timezone.now())
            except people.UnableToAdmit as refused:
                messages.error(request, str(refused))
