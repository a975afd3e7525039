"""Pairs of orders on two accounts, and which intents belong to them."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Journal both legs of an arbitrage under one number."""

    dependencies: ClassVar = [("portfolio", "0050_known_flows")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="Pair",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveBigIntegerField(help_text="The strategy's own count")),
                ("market_at", models.DateTimeField()),
                ("created_at", models.DateTimeField(help_text="Wall time")),
                (
                    "bought",
                    models.ForeignKey(
                        help_text="The book that buys",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="pairs_bought",
                        to="portfolio.book",
                    ),
                ),
                (
                    "sold",
                    models.ForeignKey(
                        help_text="The book that sells",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="pairs_sold",
                        to="portfolio.book",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["bought", "-id"], name="pair_bought_newest"),
                    models.Index(fields=["sold", "-id"], name="pair_sold_newest"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("bought", models.F("sold")), _negated=True), name="pair_has_two_books"
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="intent",
            name="pair",
            field=models.ForeignKey(
                db_index=False,
                help_text="Whose leg it is, or what of it it undoes",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="intents",
                to="portfolio.pair",
            ),
        ),
        migrations.AddIndex(
            model_name="intent",
            index=models.Index(condition=models.Q(("pair__isnull", False)), fields=["pair"], name="intent_of_pair"),
        ),
    ]
