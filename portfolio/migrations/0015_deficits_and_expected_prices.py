"""Give adopted orders a deficit, and intents the price they were sized for."""

from __future__ import annotations

from django.db import migrations, models

import portfolio.models.money

# Entries were sent with a collar of one percent above the price they were sized for; what rests was sized for its limit.
EXPECTED_PRICES = """
UPDATE portfolio_intent
   SET expected_price = CASE WHEN kind = 'enter' THEN trunc(limit_price / 1.01, 8) ELSE limit_price END
 WHERE limit_price IS NOT NULL
"""


class Migration(migrations.Migration):
    """Columns and constraints of the order path."""

    dependencies = [("portfolio", "0010_trader_memory")]

    operations = [
        migrations.AddField(
            "intent",
            "expected_price",
            portfolio.models.money.MoneyField(
                decimal_places=18,
                help_text="What a limited order was sized for; the position cap counts it",
                max_digits=38,
                null=True,
            ),
        ),
        migrations.RunSQL(EXPECTED_PRICES, migrations.RunSQL.noop),
        migrations.RemoveConstraint("position", "position_not_negative"),
        migrations.AddConstraint(
            "position",
            models.CheckConstraint(
                condition=models.Q(("cost__gte", 0), ("quantity__gte", 0)) | models.Q(("cost__lte", 0), ("quantity__lt", 0)),
                name="position_cost_has_its_sign",
            ),
        ),
        migrations.RemoveConstraint("ledgeraccount", "ledger_balance_not_negative"),
        migrations.AddConstraint(
            "ledgeraccount",
            models.CheckConstraint(
                condition=models.Q(
                    ("balance__gte", 0),
                    ("kind__in", ["suspense", "deficit", "external_flow", "external_trade", "external_fee"]),
                    _connector="OR",
                ),
                name="ledger_balance_not_negative",
            ),
        ),
        migrations.AddConstraint(
            "ledgeraccount",
            models.CheckConstraint(
                condition=models.Q(models.Q(("kind", "deficit"), _negated=True), ("balance__lte", 0), _connector="OR"),
                name="ledger_deficit_not_positive",
            ),
        ),
    ]
