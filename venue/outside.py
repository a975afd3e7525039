"""What reaches an account from outside trading: deposits, withdrawals, locks, the change of hands of everything."""

from dataclasses import replace

from venue.accounts import Account
from venue.crossings import FUNDING, SPOT, Crossing
from venue.errors import insufficient_balance
from venue.journal import Flow, UserEvent
from venue.matching.engine import Engine
from venue.reports import account_position, balance_update, lock_update


def move(engine: Engine, account: Account, asset: str, amount: int, *, wall_ms: int, is_silent: bool = False) -> None:
    """Book money from elsewhere, or to there when the amount is below zero; silently if no stream is to tell."""
    balance = account.balance(asset)
    if balance.free + amount < 0:
        raise insufficient_balance()
    balance.free += amount
    now = account.update_time = engine.now
    journal = engine.journal
    journal.flows.append(Flow(account.uid, asset, amount, now, wall_ms))
    journal.touch_balance(account, asset)
    if not is_silent:
        journal.events.append(UserEvent(account.uid, balance_update(asset, amount, now)))
        journal.events.append(UserEvent(account.uid, account_position(account, (asset,), now)))


def cross(
    engine: Engine, account: Account, asset: str, amount: int, *, wall_ms: int, status: int, fee: int = 0, wallet: int = SPOT
) -> Crossing:
    """Begin a deposit, or a withdrawal with its fee when the amount is below zero; the money moves if the status says so."""
    crossing = Crossing(
        number=engine.crossings.last + 1, uid=account.uid, asset=asset, amount=amount, fee=fee, status=status, wallet=wallet,
        time=engine.now, completed_at=0,
    )  # fmt: skip
    return _settled(engine, account, None, crossing, wall_ms=wall_ms)


def settle(engine: Engine, account: Account, *, status: int, wall_ms: int) -> int:
    """Give every crossing of an account that waits a status; answer how many waited."""
    waiting = [crossing for crossing in engine.crossings.waiting.values() if crossing.uid == account.uid]
    for crossing in waiting:
        _settled(engine, account, crossing, replace(crossing, status=status), wall_ms=wall_ms)
    return len(waiting)


def lock(engine: Engine, account: Account, asset: str, amount: int) -> None:
    """Lock what another product of the exchange has a claim on, or unlock it when the amount is below zero."""
    balance = account.balance(asset)
    if not -balance.locked <= amount <= balance.free:
        raise insufficient_balance()
    balance.free -= amount
    balance.locked += amount
    now = account.update_time = engine.now
    engine.journal.touch_balance(account, asset)
    engine.journal.events.append(UserEvent(account.uid, lock_update(asset, amount, now)))
    engine.journal.events.append(UserEvent(account.uid, account_position(account, (asset,), now)))


def _settled(engine: Engine, account: Account, before: Crossing | None, after: Crossing, *, wall_ms: int) -> Crossing:
    """Move what a change of status moves, then note it: if the money is not there, nothing has happened."""
    had_moved = before is not None and before.has_moved
    if after.has_moved != had_moved:
        amount = after.amount if after.has_moved else -after.amount
        if after.wallet == FUNDING:
            _move_funding(engine, account, after.asset, amount)
        else:
            move(engine, account, after.asset, amount, wall_ms=wall_ms)
    after = replace(after, completed_at=engine.now if after.has_moved else 0)
    engine.crossings.note(after)
    engine.journal.crossings.append(after)
    return after


def _move_funding(engine: Engine, account: Account, asset: str, amount: int) -> None:
    if account.funding.get(asset, 0) + amount < 0:
        raise insufficient_balance()
    account.funding[asset] = account.funding.get(asset, 0) + amount
    engine.journal.settings(account)
