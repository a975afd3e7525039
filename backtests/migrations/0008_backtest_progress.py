"""Let a backtest tell how far it is, and be cancelled."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("backtests", "0007_frictions")]

    operations = [
        migrations.AddField(model_name="backtestrun", name="attempts", field=models.PositiveSmallIntegerField(default=0)),
        migrations.AddField(
            model_name="backtestrun",
            name="claimed_at",
            field=models.DateTimeField(blank=True, help_text="When its worker last told of itself", null=True),
        ),
        migrations.AddField(
            model_name="backtestrun",
            name="bars",
            field=models.PositiveIntegerField(default=0, help_text="Base candles to walk, once a worker has read them"),
        ),
        migrations.AddField(model_name="backtestrun", name="bars_done", field=models.PositiveIntegerField(default=0)),
        migrations.AddField(
            model_name="backtestrun",
            name="started_at",
            field=models.DateTimeField(blank=True, help_text="When a worker began to walk its candles", null=True),
        ),
        migrations.AlterField(
            model_name="backtestrun",
            name="state",
            field=models.CharField(
                choices=[
                    ("queued", "Queued"),
                    ("running", "Running"),
                    ("done", "Done"),
                    ("cancelled", "Cancelled"),
                    ("failed", "Failed"),
                ],
                default="queued",
                max_length=9,
            ),
        ),
    ]
