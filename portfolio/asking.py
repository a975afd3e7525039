"""Who is asking right now: what the services and the audit know of the request behind a command.

Commands and jobs have no request: whoever has a shell on this machine needs no second confirmation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace


class NeedsConfirmation(Exception):
    """Raised when something may only be done by a person who has just proven again who they are."""

    code = "CONFIRMATION_NEEDED"


@dataclass(frozen=True, slots=True)
class Asking:
    """The request that a command came with."""

    request_id: str = ""
    address: str = ""
    is_confirmed: bool = True
    # What the audit wrote down for it.
    recorded: list[str] = field(default_factory=list)


_current: ContextVar[Asking] = ContextVar("asking", default=Asking())  # noqa: B039 - it is frozen.


def current() -> Asking:
    """Return the request behind what is being done."""
    return _current.get()


@contextmanager
def asked(*, request_id: str, address: str) -> Iterator[None]:
    """Remember the request while it is answered; nothing is confirmed until the doorkeeper says so."""
    token = _current.set(Asking(request_id=request_id, address=address, is_confirmed=False))
    try:
        yield
    finally:
        _current.reset(token)


def note_recorded(action: str) -> None:
    """Remember that the audit wrote something down for the request; without one nobody asks."""
    if _current.get().request_id:
        _current.get().recorded.append(action)


def note_confirmed(is_confirmed: bool) -> None:
    """Remember whether the person behind the request has just proven who they are."""
    _current.set(replace(_current.get(), is_confirmed=is_confirmed))


def demand_confirmation(what: str) -> None:
    """Raise unless the person has just proven who they are; `what` completes "To ..."."""
    if not _current.get().is_confirmed:
        raise NeedsConfirmation(f"To {what}, confirm that it is you.")
