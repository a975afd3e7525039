"""Other people's records in the admin, as an operator needs them: the schedule is for reading, the rest of it for nobody."""

from __future__ import annotations

from django.contrib import admin
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from marketdata.admin import ReadOnlyAdmin

admin.site.unregister([ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule, PeriodicTask])


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ReadOnlyAdmin):
    """What beat rings, how often, and when it last did; the code sets the schedule at every start."""

    list_display = ("name", "task", "queue", "interval", "crontab", "enabled", "last_run_at", "total_run_count")
    list_select_related = ("interval", "crontab")
