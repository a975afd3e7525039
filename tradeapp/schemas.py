"""How the installation itself looks in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from ninja import Schema
from pydantic import Field, StringConstraints

from marketdata.schemas import Moment, Payload


class HealthOut(Schema):
    """The web process answers, and so does the database."""

    status: str
    now: datetime


class ReadyOut(Schema):
    """Whether people can work, and what is missing if not."""

    ready: bool
    reasons: list[str]


class MeOut(Schema):
    """Who asks, and what they may do."""

    name: str
    scopes: list[str]


class TokenIn(Payload):
    """The token asked for."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
    scopes: Annotated[list[Annotated[str, StringConstraints(max_length=32)]], Field(min_length=1, max_length=16)]
    expires_at: Moment | None = None


class TokenOut(Schema):
    """A token as it is listed: never its secret."""

    id: int
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


class NewTokenOut(TokenOut):
    """A new token; the secret is shown this once."""

    secret: str


class EventOut(Schema):
    """Something that happened, in words."""

    at: datetime
    market_at: datetime | None
    kind: str
    subject: str
    text: str
    tone: str
