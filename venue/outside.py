"""What reaches an account from outside trading: deposits, withdrawals, locks, the change of hands of everything."""

from venue.accounts import Account
from venue.errors import insufficient_balance
from venue.journal import Flow, UserEvent
from venue.matching.engine import Engine
from venue.reports import account_position, balance_update, lock_update


def move(engine: Engine, account: Account, asset: str, amount: int, *, wall_ms: int, is_silent: bool = False) -> None:
    """Book money from outside, or to there when the amount is below zero; silently if no stream is to tell."""
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
