"""Sealed secrets open only with the right key in the right place."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from exchange.secrets import MasterKeyMissing, SealBroken, reseal, seal, unseal

PLACE = "account:1:trade"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "master.key"
    path.write_text(Fernet.generate_key().decode() + "\n")
    return path


def test_a_sealed_secret_opens_in_its_place(key_file: Path) -> None:
    token = seal("canary-secret", context=PLACE, key_file=key_file)
    assert "canary" not in token
    assert unseal(token, context=PLACE, key_file=key_file) == "canary-secret"


def test_a_secret_moved_to_another_account_is_refused(key_file: Path) -> None:
    token = seal("canary-secret", context=PLACE, key_file=key_file)
    with pytest.raises(SealBroken, match="account:1:trade"):
        unseal(token, context="account:2:trade", key_file=key_file)


def test_a_changed_secret_is_refused(key_file: Path) -> None:
    token = seal("canary-secret", context=PLACE, key_file=key_file)
    middle = len(token) // 2
    changed = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    with pytest.raises(SealBroken):
        unseal(changed, context=PLACE, key_file=key_file)


@pytest.mark.fault("C17")
def test_rotation_keeps_old_secrets_readable_and_retires_the_old_key(key_file: Path) -> None:
    old_key = key_file.read_text()
    token = seal("canary-secret", context=PLACE, key_file=key_file)
    new_key = Fernet.generate_key().decode() + "\n"
    key_file.write_text(new_key + old_key)
    renewed = reseal(token, key_file=key_file)
    assert unseal(token, context=PLACE, key_file=key_file) == "canary-secret"
    key_file.write_text(new_key)
    assert unseal(renewed, context=PLACE, key_file=key_file) == "canary-secret"
    with pytest.raises(SealBroken):
        unseal(token, context=PLACE, key_file=key_file)


@pytest.mark.fault("G12")
def test_a_missing_master_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyMissing, match="nowhere"):
        seal("canary-secret", context=PLACE, key_file=tmp_path / "nowhere.key")
