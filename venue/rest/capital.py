"""Endpoints that show what came to an account from outside the exchange, and what left it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from venue.amounts import text
from venue.crossings import Crossing
from venue.errors import ApiError
from venue.market.bars import DAY_MS
from venue.parameters import Parameters
from venue.rest.call import Call, Endpoint, fixed
from venue.store import CrossingPage

_WINDOW_MS: Final = 90 * DAY_MS
_WINDOW_OF_ONE_MS: Final = 7 * DAY_MS
_NUMBER: Final = 769_800_519_366_000_000
_IDS_MAX: Final = 45


async def deposits(call: Call) -> list[dict[str, Any]]:
    """Show deposits, the newest first."""
    parameters = call.parameters
    parameters.choice("includeSource", ("true", "false"), _invalid("includeSource"))
    number = parameters.text("txId")
    page = _page(call, is_deposit=True, window_ms=_WINDOW_MS)
    parameters.refuse_unread()
    await call.exchange.durable()
    return _rows(call, page, _deposit, lambda row: number in (None, row["txId"]))


async def withdrawals(call: Call) -> list[dict[str, Any]]:
    """Show withdrawals, the newest first."""
    parameters = call.parameters
    own_id, ids = parameters.text("withdrawOrderId"), parameters.text("idList")
    wanted = ids.split(",") if ids is not None else None
    if wanted is not None and len(wanted) > _IDS_MAX:
        raise _invalid("idList")
    page = _page(call, is_deposit=False, window_ms=_WINDOW_MS if own_id is None else _WINDOW_OF_ONE_MS)
    parameters.refuse_unread()
    await call.exchange.durable()
    # Nobody gives a withdrawal an id of his own here: what a person takes out has none.
    return _rows(call, page, _withdrawal, lambda row: own_id is None and (wanted is None or row["id"] in wanted))


def _page(call: Call, *, is_deposit: bool, window_ms: int) -> CrossingPage:
    parameters = call.parameters
    asset, status = parameters.text("coin"), parameters.whole("status")
    start, end = _window(parameters, now=call.exchange.engine.now, window_ms=window_ms)
    limit, offset = parameters.limit(default=1000, largest=1000), parameters.whole("offset") or 0
    return CrossingPage(
        uid=call.account.uid, sign=1 if is_deposit else -1, asset=asset, status=status, start=start, end=end, limit=limit,
        offset=offset,
    )  # fmt: skip


def _window(parameters: Parameters, *, now: int, window_ms: int) -> tuple[int, int]:
    """Read from when to when; the last 90 days unless something else is said."""
    start, end = parameters.whole("startTime"), parameters.whole("endTime")
    until = now if end is None else end
    since = until - window_ms if start is None else start
    if not 0 <= until - since <= window_ms:
        raise ApiError(-4047, f"Time interval must be within 0-{window_ms // DAY_MS} days")
    return since, until


def _rows(
    call: Call,
    page: CrossingPage,
    shown: Callable[[Crossing], dict[str, Any]],
    is_wanted: Callable[[dict[str, Any]], bool],
) -> list[dict[str, Any]]:
    return [row for crossing in call.exchange.store.crossings(page) if is_wanted(row := shown(crossing))]


def _deposit(crossing: Crossing) -> dict[str, Any]:
    row = {
        "id": str(_NUMBER + crossing.number),
        "amount": text(crossing.amount),
        "coin": crossing.asset,
        "network": crossing.asset,
        "status": crossing.status,
        "address": f"venue{crossing.uid}",
        "addressTag": "",
        "txId": f"{crossing.number:064X}",
        "insertTime": crossing.time,
        "transferType": 0,
        "confirmTimes": "1/1" if crossing.completed_at else "0/1",
        "unlockConfirm": 1,
        "walletType": crossing.wallet,
        "travelRuleStatus": 0,
    }
    return row | ({"completeTime": crossing.completed_at} if crossing.completed_at else {})


def _withdrawal(crossing: Crossing) -> dict[str, Any]:
    row = {
        "id": f"{crossing.number:032x}",
        # What arrives elsewhere: the fee left the account with it.
        "amount": text(-crossing.amount - crossing.fee),
        "transactionFee": text(crossing.fee),
        "coin": crossing.asset,
        "status": crossing.status,
        "address": "elsewhere",
        "txId": f"0x{crossing.number:064x}",
        "applyTime": _written(crossing.time),
        "network": crossing.asset,
        "transferType": 0,
        "info": "",
        "confirmNo": 1,
        "walletType": crossing.wallet,
        "txKey": "",
    }
    return row | ({"completeTime": _written(crossing.completed_at)} if crossing.status == 6 else {})


def _written(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _invalid(name: str) -> ApiError:
    return ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


ENDPOINTS: Final = {
    ("GET", "/sapi/v1/capital/deposit/hisrec"): Endpoint(deposits, fixed(1), is_signed=True),
    # The exchange counts 18,000 of 180,000 a minute for each account; nobody counts by account here.
    ("GET", "/sapi/v1/capital/withdraw/history"): Endpoint(withdrawals, fixed(1), is_signed=True),
}
