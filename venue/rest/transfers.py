"""Endpoints that move money between wallets and sub-accounts, and the fee setting that goes with an account."""

from typing import Any, Final

from venue import outside
from venue.accounts import Account
from venue.amounts import text
from venue.errors import ApiError, insufficient_balance, missing_parameter
from venue.exchange import wall_ms
from venue.keys import TRANSFER
from venue.rest.call import Call, Endpoint, fixed

_DIRECTIONS: Final = {"MAIN_FUNDING": -1, "FUNDING_MAIN": 1}
_DOMAIN: Final = "@venue.local"
_FAR: Final = 2**63 - 1


async def burn(call: Call) -> dict[str, bool]:
    """Show whether fees are taken in BNB."""
    call.parameters.refuse_unread()
    return {"spotBNBBurn": call.account.pays_in_bnb, "interestBNBBurn": False}


async def set_burn(call: Call) -> dict[str, bool]:
    """Have fees taken in BNB, or no longer."""
    refusal = ApiError(-1130, "Data sent for parameter 'spotBNBBurn' is not valid.")
    wanted = call.parameters.choice("spotBNBBurn", ("true", "false"), refusal)
    call.parameters.choice("interestBNBBurn", ("true", "false"), refusal)
    call.parameters.refuse_unread()
    if wanted is not None:
        call.account.pays_in_bnb = wanted == "true"
        call.exchange.engine.journal.settings(call.account)
    await call.exchange.durable()
    return {"spotBNBBurn": call.account.pays_in_bnb, "interestBNBBurn": False}


async def transfer(call: Call) -> dict[str, int]:
    """Move money between the spot wallet and the funding wallet of one account."""
    kind, asset = call.parameters.required("type"), call.parameters.required("asset")
    amount = _amount(call)
    call.parameters.refuse_unread()
    if kind not in _DIRECTIONS:
        raise ApiError(-1130, "Data sent for parameter 'type' is not valid.")
    account, moved = call.account, amount * _DIRECTIONS[kind]
    if account.funding.get(asset, 0) - moved < 0:
        raise insufficient_balance()
    outside.move(call.exchange.engine, account, asset, moved, wall_ms=wall_ms())
    account.funding[asset] = account.funding.get(asset, 0) - moved
    call.exchange.engine.journal.settings(account)
    number = call.exchange.note_transfer({"uid": account.uid, "type": kind, "asset": asset, "amount": text(amount)})
    await call.exchange.durable()
    return {"tranId": number}


async def open_sub_account(call: Call) -> dict[str, str]:
    """Open a sub-account; its keys come from the control address."""
    name = call.parameters.required("subAccountString")
    call.parameters.refuse_unread()
    master = _master(call)
    full = f"{name}_virtual{_DOMAIN}"
    if any(account.name == full for account in call.exchange.engine.accounts.values()):
        raise ApiError(-12014, "Sub-account already exists.")
    call.exchange.open_account(full, {}, parent=master.uid)
    await call.exchange.durable()
    return {"email": full}


async def sub_accounts(call: Call) -> dict[str, Any]:
    """Show the sub-accounts of a master."""
    email, page = call.parameters.text("email"), call.parameters.whole("page") or 1
    limit = call.parameters.limit(default=10, largest=200)
    call.parameters.refuse_unread()
    rows = [
        {
            "subUserId": account.uid,
            "email": account.name,
            "remark": "",
            "isFreeze": False,
            "createTime": account.created_at,
            "isManagedSubAccount": False,
            "isAssetManagementSubAccount": False,
        }
        for account in _children(call)
        if email in (None, account.name)
    ]
    return {"subAccounts": rows[(page - 1) * limit : page * limit]}


async def sub_assets(call: Call) -> dict[str, Any]:
    """Show what a sub-account holds."""
    account = _named(call, call.parameters.required("email"))
    call.parameters.refuse_unread()
    await call.exchange.durable()
    balances = [
        {"asset": asset, "free": text(held.free), "locked": text(held.locked), "freeze": "0", "withdrawing": "0"}
        for asset, held in sorted(account.balances.items())
    ]
    return {"balances": balances}


async def universal_transfer(call: Call) -> dict[str, Any]:
    """Move money between a master and its sub-accounts, or between two of these."""
    parameters = call.parameters
    sender, receiver = parameters.text("fromEmail"), parameters.text("toEmail")
    for name in ("fromAccountType", "toAccountType"):
        parameters.required(name)
        parameters.choice(name, ("SPOT",), ApiError(-1130, f"Data sent for parameter '{name}' is not valid."))
    asset, amount, own_id = parameters.required("asset"), _amount(call), parameters.text("clientTranId")
    parameters.refuse_unread()
    if sender is None and receiver is None:
        raise missing_parameter("fromEmail")
    giving = _master(call) if sender is None else _named(call, sender)
    taking = _master(call) if receiver is None else _named(call, receiver)
    # The sender first: if it cannot pay, nothing has happened.
    outside.move(call.exchange.engine, giving, asset, -amount, wall_ms=wall_ms())
    outside.move(call.exchange.engine, taking, asset, amount, wall_ms=wall_ms())
    row = {"fromEmail": giving.name, "toEmail": taking.name, "asset": asset, "amount": text(amount), "clientTranId": own_id}
    number = call.exchange.note_transfer(row | {"uid": _master(call).uid, "status": "SUCCESS", "createTimeStamp": wall_ms()})
    await call.exchange.durable()
    return {"tranId": number} | ({"clientTranId": own_id} if own_id else {})


async def universal_transfers(call: Call) -> dict[str, Any]:
    """Show what was moved between a master and its sub-accounts: what the master sent, unless another sender is named."""
    parameters = call.parameters
    sender, receiver, own_id = (parameters.text(name) for name in ("fromEmail", "toEmail", "clientTranId"))
    start, end = parameters.whole("startTime"), parameters.whole("endTime")
    page, limit = parameters.whole("page") or 1, parameters.limit(default=500, largest=500)
    parameters.refuse_unread()
    if sender is not None and receiver is not None:
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    master = _master(call)
    if sender is None and receiver is None and own_id is None:
        sender = master.name
    wanted = {"fromEmail": sender, "toEmail": receiver, "clientTranId": own_id}
    await call.exchange.durable()
    rows = [
        {name: value for name, value in row.items() if name != "uid"} | {"fromAccountType": "SPOT", "toAccountType": "SPOT"}
        for row in call.exchange.transfers
        if row["uid"] == master.uid
        and "fromEmail" in row
        and all(value is None or row[name] == value for name, value in wanted.items())
        and (start or 0) <= row["createTimeStamp"] <= (_FAR if end is None else end)
    ]
    # The newest first, as the exchange itself shows them.
    return {"result": rows[::-1][(page - 1) * limit : page * limit], "totalCount": len(rows)}


def _amount(call: Call) -> int:
    amount = call.parameters.amount("amount")
    if amount is None:
        raise missing_parameter("amount")
    return amount


def _master(call: Call) -> Account:
    """Return the caller, who must not be a sub-account."""
    if call.account.parent:
        raise ApiError(-12022, "The sub-account has no right to do this.")
    return call.account


def _children(call: Call) -> list[Account]:
    master = _master(call)
    return [account for account in call.exchange.engine.accounts.values() if account.parent == master.uid]


def _named(call: Call, email: str) -> Account:
    for account in (_master(call), *_children(call)):
        if account.name == email:
            return account
    raise ApiError(-12001, "The sub-account does not exist.")


ENDPOINTS: Final = {
    ("GET", "/sapi/v1/bnbBurn"): Endpoint(burn, fixed(1), is_signed=True),
    ("POST", "/sapi/v1/bnbBurn"): Endpoint(set_burn, fixed(1), is_signed=True),
    ("POST", "/sapi/v1/asset/transfer"): Endpoint(transfer, fixed(900), is_signed=True, right=TRANSFER),
    ("POST", "/sapi/v1/sub-account/virtualSubAccount"): Endpoint(open_sub_account, fixed(1), is_signed=True, right=TRANSFER),
    ("GET", "/sapi/v1/sub-account/list"): Endpoint(sub_accounts, fixed(1), is_signed=True),
    ("GET", "/sapi/v4/sub-account/assets"): Endpoint(sub_assets, fixed(60), is_signed=True),
    ("POST", "/sapi/v1/sub-account/universalTransfer"): Endpoint(universal_transfer, fixed(360), is_signed=True, right=TRANSFER),
    ("GET", "/sapi/v1/sub-account/universalTransfer"): Endpoint(universal_transfers, fixed(1), is_signed=True),
}
