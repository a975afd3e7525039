"""Keep what was last found of each bot's fills beside their model, and have beat look every minute."""

import django.db.models.deletion
from django.db import migrations, models

NAME = "Compare fills with what backtests assume"


def schedule(apps, _schema_editor):
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    every_minute, _ = intervals.objects.get_or_create(every=60, period="seconds")
    tasks.objects.get_or_create(
        name=NAME, defaults={"task": "bots.watch_drift", "interval": every_minute, "queue": "trading", "expire_seconds": 60}
    )


def unschedule(apps, _schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("bots", "0005_schedule_the_sweep"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.CreateModel(
            name="BotDrift",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("last_fill_id", models.BigIntegerField(default=0, help_text="The newest fill that was looked at")),
                ("waiting", models.PositiveIntegerField(default=0, help_text="Orders whose candle had not closed yet")),
                ("orders", models.PositiveIntegerField(default=0, help_text="Orders that were compared")),
                ("mean_bps", models.FloatField(null=True)),
                ("low_bps", models.FloatField(help_text="Of the mean's 95 % interval", null=True)),
                ("high_bps", models.FloatField(help_text="Of the mean's 95 % interval", null=True)),
                ("alarmed_at", models.DateTimeField(help_text="Wall time of the newest alarm", null=True)),
                ("cleared_at", models.DateTimeField(help_text="Wall time at which its cause was gone", null=True)),
                ("clear_reason", models.CharField(blank=True, help_text="Reason code", max_length=48)),
                ("looked_at", models.DateTimeField(help_text="Wall time")),
                (
                    "bot",
                    models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name="drift", to="bots.bot"),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("cleared_at__isnull", True),
                            models.Q(("alarmed_at__isnull", False), models.Q(("clear_reason", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="bot_drift_cleared_with_reason",
                    ),
                ],
            },
        ),
        migrations.RunPython(schedule, unschedule),
    ]
