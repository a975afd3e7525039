"""How the installation itself looks in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field, StringConstraints

from marketdata.schemas import Moment, Payload, shown


class HealthOut(Schema):
    """The web process answers, and so does the database."""

    status: str
    now: datetime


class ReadyOut(Schema):
    """Whether people can work, and what is missing if not."""

    ready: bool
    reasons: list[str]


class MeOut(Schema):
    """Who asks, what they may do, and what they confirm with: a code, a password, or nothing yet."""

    name: str
    role: str
    scopes: list[str]
    confirms_with: str
    is_confirmed: bool


class TokenIn(Payload):
    """The token asked for."""

    model_config = shown({"name": "script", "scopes": ["read", "bots:write"]})

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


class ProofIn(Payload):
    """A code of the second factor, or the password of those who have none."""

    model_config = shown({"proof": "123456"})

    proof: Annotated[str, StringConstraints(min_length=1, max_length=128)]


class ConfirmedOut(Schema):
    """Until when what is dangerous may be done without asking again."""

    until: datetime


class SecretOut(Schema):
    """What an authenticator app takes in; it counts once a first code was right."""

    secret: str
    address: str


class RecoveryCodesOut(Schema):
    """Codes for a lost telephone, each good once; they are shown this once."""

    recovery_codes: list[str]


class SessionOut(Schema):
    """Somebody is signed in somewhere."""

    name: str
    user: int
    signed_in_at: str
    address: str
    agent: str
    expires_at: datetime
    is_this: bool


class PersonOut(Schema):
    """Somebody who may sign in."""

    id: int
    name: str
    role: str
    is_active: bool
    has_second_factor: bool
    last_login: datetime | None


class InviteIn(Payload):
    """Whom to invite, as what."""

    model_config = shown({"email": "ada@example.org", "role": "operator"})

    email: Annotated[str, StringConstraints(min_length=3, max_length=150)]
    role: Literal["viewer", "operator", "admin"]


class InvitedOut(PersonOut):
    """A new person; the link signs them in once, within a quarter of an hour, and is shown this once."""

    sign_in_link: str


class PersonIn(Payload):
    """What should be different about a person."""

    model_config = shown({"role": "viewer"})

    role: Literal["viewer", "operator", "admin"] | None = None
    is_active: bool | None = None


class NewPasswordIn(Payload):
    """One's own new password."""

    model_config = shown({"password": "a long enough sentence"})  # nosec B105 - an example for people.

    password: Annotated[str, StringConstraints(min_length=12, max_length=128)]
