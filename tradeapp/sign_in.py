"""Sign in with a one-time link: there is no default password, and none is printed."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction

from tradeapp.models import SignInLink

VALID_FOR = timedelta(minutes=15)
FIRST_USER = "admin"


class LinkRefused(Exception):
    """Say why a sign-in link does not work."""


def create_sign_in_link(*, now: datetime, base_url: str, token: str | None = None) -> str:
    """Return a link that signs the first administrator in once, made without a password if nobody is there yet."""
    with transaction.atomic():
        return create_link_for(first_administrator(), now=now, base_url=base_url, token=token)


def create_link_for(user: User, *, now: datetime, base_url: str, token: str | None = None) -> str:
    """Return a link that signs this person in once, within a quarter of an hour."""
    token = token or secrets.token_urlsafe(32)
    SignInLink.objects.filter(expires_at__lt=now - timedelta(days=1)).delete()
    SignInLink.objects.create(token_hash=hash_of(token), user=user, created_at=now, expires_at=now + VALID_FOR)
    return f"{base_url.rstrip('/')}/sign-in/{token}/"


def first_administrator() -> User:
    """Return the oldest active administrator; create one who has no password if there is none."""
    found = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if found is not None:
        return found
    # A password of None is an unusable one: only a link, or a password set later, opens the door.
    return User.objects.create_superuser(username=_free_name(), email="", password=None)


def check(*, token: str, now: datetime) -> SignInLink:
    """Return the link if it would work now; looking does not use it up."""
    link = SignInLink.objects.select_related("user").filter(token_hash=hash_of(token)).first()
    if link is None:
        raise LinkRefused("This sign-in link is not known here.")
    if link.used_at is not None:
        raise LinkRefused("This sign-in link was used already.")
    if link.expires_at <= now:
        raise LinkRefused("This sign-in link is too old.")
    if not link.user.is_active:
        raise LinkRefused("The user of this sign-in link is disabled.")
    return link


def use(*, token: str, now: datetime) -> User:
    """Use a link up and return whom it signs in; of two attempts at once only one succeeds."""
    link = check(token=token, now=now)
    won = SignInLink.objects.filter(pk=link.pk, used_at__isnull=True).update(used_at=now)
    if not won:
        raise LinkRefused("This sign-in link was used already.")
    return link.user


def _free_name() -> str:
    name, number = FIRST_USER, 2
    while User.objects.filter(username=name).exists():
        name, number = f"{FIRST_USER}{number}", number + 1
    return name


def hash_of(token: str) -> str:
    """Return what is stored of a token."""
    # The token has 256 random bits: a plain hash is enough to keep the table useless to a reader.
    return hashlib.sha256(token.encode()).hexdigest()
