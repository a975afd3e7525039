"""Carry transfers between a master and its sub-accounts: claimed before they are sent, sent once, otherwise only read."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog

from exchange.connect import ReadOnlyExchange
from exchange.errors import AnswerNotOurs, ExchangeTrouble, KeyRefused, Outcome
from exchange.ports import TransferPort, TransferReport, TransferTicket
from exchange.rights import demand_rights
from portfolio.models import AccountTransfer, Credential
from portfolio.trader import keys
from portfolio.trader.crash_points import crash_point
from portfolio.trader.keys import UnableToTrade
from portfolio.trader.lease import fenced
from portfolio.trader.session import Session
from portfolio.writers import transfers
from portfolio.writers.transfers import WORD

log = structlog.get_logger()
State = AccountTransfer.State
# After trouble, and between two looks at the history.
_PAUSE_SECONDS: Final = 1.0


class Courier:
    """Moves what was asked for, one transfer at a time, with the master's key for transfers."""

    def __init__(self, session: Session) -> None:
        self._session = session
        # Orders stir a trader a hundred times a second; none of them is a transfer.
        self._ear = session.ear(WORD)

    async def run(self) -> None:
        """Carry the oldest transfer that is not ended, for ever."""
        session = self._session
        while True:
            await session.wait(self._ear, _PAUSE_SECONDS)
            if session.is_stopping or not session.is_recovered:
                continue
            waiting = await session.database.run(_oldest, session.account_id)
            if waiting is not None:
                await self._carry(waiting)

    async def _carry(self, waiting: AccountTransfer) -> None:
        """Send it if nobody has yet, or read what became of it; its trouble is not the orders' trouble."""
        try:
            port = await self._open()
        except (UnableToTrade, ReadOnlyExchange) as error:
            await self._refuse_unsent(waiting, str(error))
            return
        try:
            if waiting.state == State.RECORDED:
                await self._send(port, waiting)
            else:
                await self._look(port, waiting)
        except (ExchangeTrouble, AnswerNotOurs) as error:
            log.warning("transfer.waits", transfer=waiting.client_id, error=str(error)[:200])
            await self._session.sleep(_PAUSE_SECONDS)
        finally:
            await port.close()

    async def _open(self) -> TransferPort:
        roles = (Credential.Role.TRANSFER,)
        account, key, secret = await self._session.database.run(keys.account_and_key, self._session.account_id, roles=roles)
        return keys.open_transfer_port(account, key, secret)

    async def _send(self, port: TransferPort, waiting: AccountTransfer) -> None:
        session = self._session
        if not await self._is_key_good(port, waiting):
            return
        crash_point("transfer_recorded")
        claimed = session.monotonic()
        if not await session.database.run(_claim, session.account_id, session.epoch, waiting.pk, now=session.now()):
            return
        crash_point("transfer_claimed")
        try:
            number = await port.transfer(_ticket(waiting), send_before_ms=session.send_before_ms(claimed))
        except ExchangeTrouble as trouble:
            if trouble.is_proven_refusal:
                await self._give_back(waiting, State.REFUSED, str(trouble))
            else:
                await self._leave_unknown(waiting, trouble)
            return
        except AnswerNotOurs as error:
            await self._leave_unknown(waiting, error)
            return
        crash_point("transfer_sent")
        await self._complete(waiting, number)

    async def _is_key_good(self, port: TransferPort, waiting: AccountTransfer) -> bool:
        """Hold the key against the account and its role before anything is claimed; a wrong one ends the transfer."""
        try:
            await port.server_time_ms()
            await port.balances()
            demand_rights(await port.key_permissions(), role=Credential.Role.TRANSFER)
        except KeyRefused as refused:
            await self._refuse_unsent(waiting, str(refused))
            return False
        except ExchangeTrouble as trouble:
            if trouble.outcome != Outcome.KEY_INVALID:
                raise
            await self._refuse_unsent(waiting, str(trouble))
            return False
        return True

    async def _look(self, port: TransferPort, waiting: AccountTransfer) -> None:
        """Read the exchange's history; what it does not show after every delay is over has never arrived."""
        await port.server_time_ms()
        await port.balances()
        asked_at = self._session.now()
        report = await port.transfer_by_client_id(waiting.client_id)
        if report is None:
            assert waiting.sent_at is not None
            bounds = self._session.profile.bounds()
            if (asked_at - waiting.sent_at).total_seconds() > bounds.settle_seconds(is_continuous=False):
                await self._give_back(waiting, State.ABSENT, "The exchange's history does not know it.")
            return
        _demand_same(waiting, report)
        if report.is_done:
            await self._complete(waiting, report.exchange_id)
        elif report.is_failed:
            await self._give_back(waiting, State.REFUSED, "The exchange says that it failed.")

    async def _refuse_unsent(self, waiting: AccountTransfer, why: str) -> None:
        # What may have been sent is not ended by a key that is gone: it waits for one that can read.
        if waiting.state == State.RECORDED:
            await self._give_back(waiting, State.REFUSED, why)
        else:
            log.error("transfer.unreadable", transfer=waiting.client_id, error=why[:200])
            await self._session.sleep(_PAUSE_SECONDS)

    async def _leave_unknown(self, waiting: AccountTransfer, error: Exception) -> None:
        log.warning("transfer.unknown", transfer=waiting.client_id, error=str(error)[:200])
        await self._session.database.run(_leave_unknown, self._session.account_id, self._session.epoch, waiting.pk)

    async def _complete(self, waiting: AccountTransfer, number: str) -> None:
        session = self._session
        await session.database.run(
            _complete, session.account_id, session.epoch, waiting.pk, exchange_id=number, now=session.now()
        )
        log.info("transfer.done", transfer=waiting.client_id, exchange_id=number)
        session.stir(WORD)

    async def _give_back(self, waiting: AccountTransfer, state: str, outcome: str) -> None:
        session = self._session
        await session.database.run(
            _give_back, session.account_id, session.epoch, waiting.pk, state=state, outcome=outcome, now=session.now()
        )
        log.error("transfer.failed", transfer=waiting.client_id, state=state, outcome=outcome[:200])
        session.stir(WORD)


def _oldest(master_id: int) -> AccountTransfer | None:
    """Return what is in flight, else what waits to be sent: never two at a time."""
    mine = AccountTransfer.objects.filter(master=master_id).select_related("sender", "receiver").order_by("id")
    return mine.filter(state__in=AccountTransfer.IN_FLIGHT).first() or mine.filter(state=State.RECORDED).first()


def _claim(master_id: int, epoch: int, transfer_id: int, *, now: datetime) -> bool:
    with fenced(master_id, epoch):
        return transfers.claim(transfer_id, now=now)


def _leave_unknown(master_id: int, epoch: int, transfer_id: int) -> None:
    with fenced(master_id, epoch):
        transfers.mark_unknown(transfer_id)


def _complete(master_id: int, epoch: int, transfer_id: int, *, exchange_id: str, now: datetime) -> None:
    with fenced(master_id, epoch):
        transfers.complete(transfer_id, exchange_id=exchange_id, now=now)


def _give_back(master_id: int, epoch: int, transfer_id: int, *, state: str, outcome: str, now: datetime) -> None:
    with fenced(master_id, epoch):
        transfers.give_back(transfer_id, state=state, outcome=outcome, now=now)


def _ticket(waiting: AccountTransfer) -> TransferTicket:
    return TransferTicket(
        client_id=waiting.client_id,
        sender=waiting.sender.venue_name,
        receiver=waiting.receiver.venue_name,
        asset=waiting.asset,
        amount=waiting.amount,
    )


def _demand_same(waiting: AccountTransfer, report: TransferReport) -> None:
    if (report.asset, report.amount) != (waiting.asset, waiting.amount):
        raise AnswerNotOurs(
            f"Asked about {waiting.amount} {waiting.asset}, told about {report.amount} {report.asset} as {report.client_id}."
        )
