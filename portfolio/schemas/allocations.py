"""How shares, their versions and plans look in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from ninja import Schema
from pydantic import Field

from marketdata.schemas import Amount, AmountIn, Payload, RowId, shown

Note = Annotated[str, Field(max_length=200)]
Version = Annotated[int, Field(ge=0, le=2**63 - 1)]


class PolicyOut(Schema):
    """What holds for every plan: a reserve that is never dealt out, a band that a re-base leaves alone, when it re-bases."""

    reserve_percent: Amount
    band_percent: Amount
    rebase_hours: int
    rebases_after_flows: bool


class ShareOut(Schema):
    """A book's share: what it should have, what it has, what the plan moves, what still waits."""

    book: int
    bot: str
    percent: Amount
    percent_now: Amount
    is_locked: bool
    target: Amount
    equity: Amount
    funded: Amount
    moved: Amount
    missing: Amount
    pending: Amount
    state: str
    why: str


class SliceOut(Schema):
    """A share in percent."""

    book: int
    percent: Amount


class AllocationsOut(Schema):
    """The shares of an account; `version` is what an edit hands back to be told of other people's changes.

    `remainder_percent` is nobody's; `even` would share everything out in the same proportions.
    """

    seq: int
    account: int
    mode: str
    total: Amount
    unallocated: Amount
    plan: int
    version: int
    policy: PolicyOut
    reserve: Amount
    remainder_percent: Amount
    even: list[SliceOut]
    shares: list[ShareOut]


class ShareIn(Payload):
    """A share asked for; `percent` is decimal text from 0 to 100. A locked share is left alone by re-bases."""

    model_config = shown({"book": 1, "percent": "20"})

    book: RowId
    percent: AmountIn
    is_locked: bool | None = None


class PolicyIn(Payload):
    """The fields of the policy that change."""

    model_config = shown({"reserve_percent": "5", "rebase_hours": 24})

    reserve_percent: AmountIn | None = None
    band_percent: AmountIn | None = None
    rebase_hours: Annotated[int, Field(ge=0, le=8784)] | None = None
    rebases_after_flows: bool | None = None

    def changes(self) -> dict[str, Any]:
        """Return what is asked for."""
        return self.dict(exclude_none=True)


class AllocationsIn(Payload):
    """Shares asked for. Books that are not named keep theirs; `rebase` deals out gains and losses anew as well.

    `version` is the version that was looked at: with it, an edit is refused if somebody else changed the shares meanwhile.
    """

    model_config = shown({"shares": [{"book": 1, "percent": "25"}, {"book": 2, "percent": "15"}], "note": "more for the first"})

    shares: Annotated[list[ShareIn], Field(max_length=200)] = []
    account: RowId | None = None
    rebase: bool = False
    version: Version | None = None
    policy: PolicyIn | None = None
    note: Note = ""


class RebaseIn(Payload):
    """Which account to deal out anew, from which version."""

    model_config = shown({"note": "after the deposit"})

    account: RowId | None = None
    version: Version | None = None
    note: Note = ""


class RollbackIn(Payload):
    """Which version to go back to, from which one; `preview` changes nothing."""

    model_config = shown({"to": 1, "preview": True})

    to: Version
    account: RowId | None = None
    version: Version | None = None
    note: Note = ""
    preview: bool = False


class NamedSliceOut(SliceOut):
    """A share of a named bot."""

    bot: str
    is_locked: bool


class DifferenceOut(Schema):
    """How a version changed a bot's share; null where it had none."""

    book: int
    bot: str
    percent_before: Amount | None
    percent_after: Amount | None
    is_locked_before: bool
    is_locked_after: bool


class VersionOut(Schema):
    """One version of the shares: who made it, why, all shares, and what it changed."""

    number: int
    cause: str
    note: str
    restored: int | None
    total: Amount | None
    policy: PolicyOut
    market_at: datetime | None
    set_at: datetime
    set_by: str
    shares: list[NamedSliceOut]
    changes: list[DifferenceOut]
