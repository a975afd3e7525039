"""Have beat find candles whose doorbell never rang."""

from django.db import migrations

NAME = "Advance bots whose doorbell never rang"


def schedule(apps, _schema_editor):
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    every_ten_seconds, _ = intervals.objects.get_or_create(every=10, period="seconds")
    tasks.objects.get_or_create(
        name=NAME, defaults={"task": "bots.sweep", "interval": every_ten_seconds, "queue": "trading", "expire_seconds": 30}
    )


def unschedule(apps, _schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("bots", "0004_started_at"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(schedule, unschedule)]
