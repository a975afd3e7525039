"""The database itself keeps the journal append-only and every transaction zero-sum."""

from typing import ClassVar

from django.db import migrations

ZERO_SUM = """
CREATE FUNCTION ledger_check_zero_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    checked bigint;
    legs bigint;
    broken text;
BEGIN
    IF TG_TABLE_NAME = 'portfolio_ledgertransaction' THEN
        checked := NEW.id;
    ELSE
        checked := NEW.transaction_id;
    END IF;
    SELECT coalesce(sum(sums.legs), 0), string_agg(sums.asset || ' ' || sums.total, ', ') FILTER (WHERE sums.total <> 0)
    INTO legs, broken
    FROM (
        SELECT pocket.asset AS asset, sum(entry.amount) AS total, count(*) AS legs
        FROM portfolio_ledgerentry entry
        JOIN portfolio_ledgeraccount pocket ON pocket.id = entry.ledger_account_id
        WHERE entry.transaction_id = checked
        GROUP BY pocket.asset
    ) sums;
    IF legs < 2 OR broken IS NOT NULL THEN
        RAISE EXCEPTION 'Ledger transaction % is not zero-sum: % legs, %', checked, legs, coalesce(broken, 'nothing left over')
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END;
$$;

CREATE CONSTRAINT TRIGGER ledger_transaction_zero_sum
    AFTER INSERT ON portfolio_ledgertransaction
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_zero_sum();

CREATE CONSTRAINT TRIGGER ledger_entry_zero_sum
    AFTER INSERT ON portfolio_ledgerentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_zero_sum();
"""

APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON portfolio_ledgertransaction
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON portfolio_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON portfolio_auditentry
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON portfolio_allocation
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON portfolio_decisionrecord
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
-- What a late fill realised changes the later ones of its position; nothing else of a fill ever changes.
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OF
    account_id, instrument_id, trade_id, order_id, book_id, side, price, quantity, quote_quantity, fee, fee_asset,
    fee_quote, is_maker, traded_at, posted_at, ledger_transaction_id
    ON portfolio_fill
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

UNDO = """
DROP TRIGGER append_only ON portfolio_fill;
DROP TRIGGER append_only ON portfolio_decisionrecord;
DROP TRIGGER append_only ON portfolio_allocation;
DROP TRIGGER append_only ON portfolio_auditentry;
DROP TRIGGER append_only ON portfolio_ledgerentry;
DROP TRIGGER append_only ON portfolio_ledgertransaction;
DROP TRIGGER ledger_entry_zero_sum ON portfolio_ledgerentry;
DROP TRIGGER ledger_transaction_zero_sum ON portfolio_ledgertransaction;
DROP FUNCTION refuse_change();
DROP FUNCTION ledger_check_zero_sum();
"""


class Migration(migrations.Migration):
    """Add the triggers."""

    dependencies: ClassVar = [("portfolio", "0001_initial")]

    operations: ClassVar = [migrations.RunSQL(sql=ZERO_SUM + APPEND_ONLY, reverse_sql=UNDO)]
