"""Move money between a master account on Binance and its sub-accounts, and read what became of it."""

from __future__ import annotations

from typing import Any, Final

from exchange.binance import answers
from exchange.binance.trading import BinanceTrading
from exchange.errors import AnswerNotOurs, ExchangeTrouble, Outcome
from exchange.ports import SubAccount, TransferReport, TransferTicket

_SPOT: Final = "SPOT"
_PER_PAGE: Final = 200


class BinanceTransfers(BinanceTrading):
    """A TransferPort bound to one master and its key."""

    async def open_sub_account(self, name: str) -> SubAccount:
        """Open a sub-account, unless there is one of that name, and answer what the exchange calls it."""
        if (found := await self._sub_account(name)) is not None:
            return found
        await self._connection.call(
            "sapi_post_sub_account_virtualsubaccount", {"subAccountString": name}, method="POST", weight=1
        )
        found = await self._sub_account(name)
        if found is None:
            raise ExchangeTrouble(Outcome.NOT_VISIBLE, f"The exchange does not show the sub-account {name} yet: ask again.")
        return found

    async def transfer(self, ticket: TransferTicket, *, send_before_ms: int) -> str:
        """Send a transfer, once in the life of this port; no byte leaves after the deadline."""
        if ticket.client_id in self._sent:
            raise ExchangeTrouble(Outcome.EXISTS, f"{ticket.client_id} has been sent already.")
        self._sent.add(ticket.client_id)
        raw = await self._connection.call(
            "sapi_post_sub_account_universaltransfer",
            _parameters(ticket),
            method="POST",
            weight=1,
            is_urgent=True,
            write_before_ms=send_before_ms,
        )
        if not isinstance(raw, dict) or "tranId" not in raw:
            raise ExchangeTrouble(Outcome.UNKNOWN, f"This is no transfer: {str(raw)[:120]}")
        if raw.get("clientTranId", ticket.client_id) != ticket.client_id:
            raise AnswerNotOurs(f"Sent {ticket.client_id}, told about {raw['clientTranId']}.")
        return str(raw["tranId"])

    async def transfer_by_client_id(self, client_id: str) -> TransferReport | None:
        """Read what became of a transfer by our name for it; None while the exchange's history does not show it."""
        raw = await self._read("sapi_get_sub_account_universaltransfer", {"clientTranId": client_id}, weight=1)
        rows = raw.get("result") if isinstance(raw, dict) else None
        if not isinstance(rows, list):
            raise ExchangeTrouble(Outcome.UNAVAILABLE, f"This is no history: {str(raw)[:120]}")
        found = [report for row in rows if (report := answers.transfer_report(row)).client_id == client_id]
        return found[0] if found else None

    async def _sub_account(self, name: str) -> SubAccount | None:
        """Look through the list, page by page: the exchange makes an address of the name that is asked for."""
        page = 1
        while True:
            raw = await self._read("sapi_get_sub_account_list", {"page": page, "limit": _PER_PAGE}, weight=1)
            rows = raw.get("subAccounts") if isinstance(raw, dict) else None
            if not isinstance(rows, list):
                raise ExchangeTrouble(Outcome.UNAVAILABLE, f"This is no list of sub-accounts: {str(raw)[:120]}")
            for row in rows:
                if str(row.get("email", "")).startswith(f"{name}_virtual@"):
                    return SubAccount(str(row["email"]), str(row["subUserId"]))
            if len(rows) < _PER_PAGE:
                return None
            page += 1


def _parameters(ticket: TransferTicket) -> dict[str, Any]:
    accounts = {"fromEmail": ticket.sender, "toEmail": ticket.receiver}
    return {
        **{name: email for name, email in accounts.items() if email},
        "fromAccountType": _SPOT,
        "toAccountType": _SPOT,
        "clientTranId": ticket.client_id,
        "asset": ticket.asset,
        "amount": format(ticket.amount, "f"),
    }
