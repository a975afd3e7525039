"""What a fee was worth may become known after its fill was posted; it only ever grows."""

from typing import ClassVar

from django.db import migrations

FIXED = """
    account_id, instrument_id, trade_id, order_id, book_id, side, price, quantity, quote_quantity, fee, fee_asset,
    is_maker, traded_at, posted_at, ledger_transaction_id
"""
DO = f"""
DROP TRIGGER append_only ON portfolio_fill;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OF {FIXED} ON portfolio_fill
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER fee_only_grows BEFORE UPDATE OF fee_quote ON portfolio_fill
    FOR EACH ROW WHEN (NEW.fee_quote < OLD.fee_quote) EXECUTE FUNCTION refuse_change();
"""
UNDO = f"""
DROP TRIGGER fee_only_grows ON portfolio_fill;
DROP TRIGGER append_only ON portfolio_fill;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OF {FIXED}, fee_quote ON portfolio_fill
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    """Let a pending fee be settled."""

    dependencies: ClassVar = [("portfolio", "0005_risk")]

    operations: ClassVar = [migrations.RunSQL(sql=DO, reverse_sql=UNDO)]
