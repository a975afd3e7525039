"""Have beat find history jobs whose doorbell, or whose worker, was lost."""

from django.db import migrations

NAME = "Find history jobs that nobody works on"


def schedule(apps, _schema_editor):
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    every_half_minute, _ = intervals.objects.get_or_create(every=30, period="seconds")
    tasks.objects.get_or_create(
        name=NAME,
        defaults={"task": "marketdata.find_waiting", "interval": every_half_minute, "queue": "backtests", "expire_seconds": 60},
    )


def unschedule(apps, _schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("marketdata", "0003_history_job"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(schedule, unschedule)]
