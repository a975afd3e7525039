"""Have beat ask the sources that are wanted and due."""

from django.db import migrations

NAME = "Ask sources beyond price"


def schedule(apps, _schema_editor):
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    every_minute, _ = intervals.objects.get_or_create(every=60, period="seconds")
    tasks.objects.get_or_create(
        name=NAME,
        defaults={"task": "marketdata.collect_sources", "interval": every_minute, "queue": "backtests", "expire_seconds": 120},
    )


def unschedule(apps, _schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("marketdata", "0006_sources_and_filters"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(schedule, unschedule)]
