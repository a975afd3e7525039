"""A one-time link is the way in before anybody has a password."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from axes.models import AccessLog
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tradeapp import sign_in
from tradeapp.models import SignInLink

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def test_the_first_link_makes_an_administrator_without_a_password() -> None:
    sign_in.create_sign_in_link(now=NOW, base_url="http://127.0.0.1:8000/")

    admin = User.objects.get()
    assert admin.is_superuser
    assert not admin.has_usable_password()


def test_a_link_signs_the_existing_administrator_in() -> None:
    owner = User.objects.create_superuser("owner", password="long enough to be real")

    token = _token(sign_in.create_sign_in_link(now=NOW, base_url="http://127.0.0.1:8000"))

    assert sign_in.use(token=token, now=NOW) == owner


def test_only_a_hash_of_the_token_is_stored() -> None:
    token = _token(sign_in.create_sign_in_link(now=NOW, base_url="http://127.0.0.1:8000"))

    assert token not in str(list(SignInLink.objects.values()))


def test_a_link_works_once() -> None:
    token = _token(sign_in.create_sign_in_link(now=NOW, base_url=""))
    sign_in.use(token=token, now=NOW)

    with pytest.raises(sign_in.LinkRefused, match="used already"):
        sign_in.use(token=token, now=NOW)


def test_a_link_grows_old() -> None:
    token = _token(sign_in.create_sign_in_link(now=NOW, base_url=""))

    with pytest.raises(sign_in.LinkRefused, match="too old"):
        sign_in.use(token=token, now=NOW + sign_in.VALID_FOR)
    assert sign_in.use(token=token, now=NOW + sign_in.VALID_FOR - timedelta(seconds=1)).is_superuser


def test_a_disabled_user_stays_outside() -> None:
    token = _token(sign_in.create_sign_in_link(now=NOW, base_url=""))
    User.objects.update(is_active=False)

    with pytest.raises(sign_in.LinkRefused, match="disabled"):
        sign_in.use(token=token, now=NOW)


def test_looking_at_a_link_does_not_use_it_up(client: Client) -> None:
    path = sign_in.create_sign_in_link(now=timezone.now(), base_url="")

    assert client.get(path).status_code == 200
    assert client.get(path).status_code == 200
    assert "_auth_user_id" not in client.session

    answer = client.post(path)

    assert answer.status_code == 302
    assert client.session["_auth_user_id"] == str(User.objects.get().pk)


def test_a_strange_link_says_how_to_get_a_good_one(client: Client) -> None:
    answer = client.get("/sign-in/guessed/")

    assert answer.status_code == 410
    assert b"sign_in_link" in answer.content
    assert "no-store" in answer["Cache-Control"]


def test_signing_in_needs_the_csrf_token() -> None:
    path = sign_in.create_sign_in_link(now=timezone.now(), base_url="")

    assert Client(enforce_csrf_checks=True).post(path).status_code == 403
    assert not SignInLink.objects.filter(used_at__isnull=False).exists()


def _token(link: str) -> str:
    return link.rstrip("/").rpartition("/")[2]


def test_the_record_of_sign_ins_keeps_no_link(client: Client) -> None:
    User.objects.create_superuser("owner", password="long enough to be real")
    token = _token(sign_in.create_sign_in_link(now=timezone.now(), base_url=""))

    assert client.post(f"/sign-in/{token}/").status_code == 302
    row = AccessLog.objects.get()
    assert (row.username, row.path_info) == ("owner", "/sign-in/link/")
