"""A market must trade enough before anybody buys there (S06)."""

from typing import ClassVar

from django.db import migrations

from portfolio.models.money import MoneyField


class Migration(migrations.Migration):
    """Add the limit; rows without it know no such floor."""

    dependencies: ClassVar = [("portfolio", "0048_deficit_covers")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="risklimits",
            name="volume_day_min",
            field=MoneyField(help_text="Least traded in quote in 24 hours where anybody buys; 0: any", null=True),
        ),
    ]
