"""A book remembers up to which intent it was sold out."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Note how far a flatten reaches."""

    dependencies: ClassVar = [("portfolio", "0022_keys_and_requests")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="book",
            name="flattened_seq",
            field=models.PositiveBigIntegerField(
                default=0,
                help_text="Number of the newest intent when the book was last sold out: what older orders bring is sold too",
            ),
        )
    ]
