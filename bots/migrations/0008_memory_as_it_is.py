"""What a strategy remembers has no empty cells left: PostgreSQL stores it as it is, instead of compressing it on every candle."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    """Have no compression tried; states that are stored already stay readable."""

    dependencies = [("bots", "0007_no_view_of_memory")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE bots_botstate ALTER COLUMN data SET STORAGE EXTERNAL",
            "ALTER TABLE bots_botstate ALTER COLUMN data SET STORAGE EXTENDED",
        )
    ]
