"""Keys: whose they are, what they may do and from where."""

import json
from dataclasses import dataclass
from typing import Final

from venue.accounts import Account

READ: Final = "read"
TRADE: Final = "trade"
TRANSFER: Final = "transfer"
RIGHTS: Final = (READ, TRADE, TRANSFER)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key of an account; no addresses means from anywhere."""

    key: str
    secret: str
    account: Account
    rights: tuple[str, ...] = RIGHTS
    addresses: tuple[str, ...] = ()
    created_at: int = 0

    def may(self, right: str, address: str) -> bool:
        """Tell whether the key is good for this, from there."""
        return right in self.rights and (not self.addresses or address in self.addresses)

    def written(self) -> str:
        """Write the key for the store."""
        facts = {"secret": self.secret, "uid": self.account.uid, "rights": self.rights, "addresses": self.addresses}
        return json.dumps(facts | {"created_at": self.created_at})


def first_key(account: Account) -> ApiKey:
    """Return the key that an account is opened with: it reads and trades, from anywhere, and moves no money."""
    return ApiKey(account.api_key, account.api_secret, account, (READ, TRADE), created_at=account.created_at)


def restored(facts: dict[str, str], accounts: dict[int, Account]) -> dict[str, ApiKey]:
    """Return every key that is valid: those of the accounts, those made later, none that was revoked."""
    keys = {account.api_key: first_key(account) for account in accounts.values()}
    for name, written in facts.items():
        kind, _, key = name.partition(":")
        if kind != "key":
            continue
        made = json.loads(written)
        if made is None:
            keys.pop(key, None)
            continue
        rights, addresses = tuple(made["rights"]), tuple(made["addresses"])
        keys[key] = ApiKey(key, made["secret"], accounts[made["uid"]], rights, addresses, made["created_at"])
    return keys
