"""What a strategy remembers is shown when somebody looks, and is packed from now on; stored states stay readable."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Drop the view that every candle wrote."""

    dependencies = [("bots", "0006_drift")]

    operations = [
        migrations.RemoveField(model_name="botstate", name="view"),
        migrations.AlterField(model_name="botstate", name="data", field=models.BinaryField(help_text="Packed, see bots.memory")),
    ]
