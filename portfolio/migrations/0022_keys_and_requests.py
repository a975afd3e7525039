"""What the exchange said of a key, where a request came from; and an account that stays what it is."""

from typing import ClassVar

from django.db import migrations, models

# Paper, testnet and live share nothing: an account keeps its mode, and a market belongs to one mode.
ONE_MODE = """
CREATE FUNCTION account_keeps_its_mode() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.mode <> NEW.mode THEN
        RAISE EXCEPTION 'Account % stays %: open another account for %', OLD.name, OLD.mode, NEW.mode
            USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT 1 FROM portfolio_account WHERE market_id = NEW.market_id AND id <> NEW.id AND mode <> NEW.mode) THEN
        RAISE EXCEPTION 'Market % belongs to accounts of another mode than %', NEW.market_id, NEW.mode
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER keeps_its_mode BEFORE INSERT OR UPDATE OF mode, market_id ON portfolio_account
    FOR EACH ROW EXECUTE FUNCTION account_keeps_its_mode();
"""

UNDO = """
DROP TRIGGER keeps_its_mode ON portfolio_account;
DROP FUNCTION account_keeps_its_mode();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("portfolio", "0021_fee_may_come_later")]

    operations: ClassVar = [
        migrations.AddField(
            "auditentry",
            "address",
            models.CharField(blank=True, default="", help_text="Where the request came from", max_length=45),
        ),
        migrations.AddField(
            "credential", "rights", models.JSONField(default=dict, help_text="What the exchange said the key may do")
        ),
        migrations.AddField(
            "credential", "checked_at", models.DateTimeField(blank=True, help_text="When the exchange was asked last", null=True)
        ),
        migrations.AddField(
            "credential",
            "trouble",
            models.CharField(blank=True, default="", help_text="Why the key must not be used", max_length=200),
        ),
        migrations.AddConstraint("credential", models.UniqueConstraint(fields=("fingerprint",), name="credential_key_unique")),
        migrations.RunSQL(ONE_MODE, UNDO),
    ]
