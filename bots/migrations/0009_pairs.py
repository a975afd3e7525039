"""Pairs of bots: one on each of two accounts, of which one decides for both."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Name the bot that decides."""

    dependencies: ClassVar = [("bots", "0008_memory_as_it_is")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="bot",
            name="leader",
            field=models.OneToOneField(
                blank=True,
                help_text="The bot on another account that decides for this one too; empty: it decides for itself",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="follower",
                to="bots.bot",
            ),
        ),
        migrations.AddConstraint(
            model_name="bot",
            constraint=models.CheckConstraint(
                condition=models.Q(("leader", None), models.Q(("leader", models.F("id")), _negated=True), _connector="OR"),
                name="bot_leads_another",
            ),
        ),
    ]
