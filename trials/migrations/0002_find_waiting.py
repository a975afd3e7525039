"""Have beat find trials whose doorbell, or whose worker, was lost."""

from django.db import migrations

NAME = "Go on with trials that nobody works on"


def schedule(apps, _schema_editor):
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    every_ten_seconds, _ = intervals.objects.get_or_create(every=10, period="seconds")
    tasks.objects.get_or_create(
        name=NAME, defaults={"task": "trials.sweep", "interval": every_ten_seconds, "queue": "trading", "expire_seconds": 30}
    )


def unschedule(apps, _schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("trials", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(schedule, unschedule)]
