"""Passwords, tokens and the secret: what they let in, what they refuse, and that nobody else may read them."""

import os
from pathlib import Path

import pytest
from argon2 import extract_parameters

from server.credentials import (
    SecretError,
    check_password,
    hash_password,
    is_outdated,
    make_secret,
    new_token,
    open_sealed,
    read_secret,
    seal,
    token_hash,
    verify_password,
)
from server.errors import Invalid
from server.settings import Settings

PASSWORD = "une phrase que personne ne devine"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(base_url="https://rse.aubrac.example", data_dir=tmp_path / "var")


@pytest.mark.parametrize("password", ["", "court", "x" * 501, "alice.fournier", "Alice Fournier ", " " * 12])
def test_a_password_that_is_short_endless_or_a_name_is_refused_in_one_sentence(password: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_password(password, "alice.fournier", "Alice Fournier")
    assert refused.value.field == "password"
    assert str(refused.value.params["least"]) in refused.value.sentence % refused.value.params


def test_a_phrase_is_accepted() -> None:
    check_password(PASSWORD, "alice")
    check_password("x" * 10, "alice")


@pytest.mark.anyio
async def test_only_the_same_password_fits_its_hash() -> None:
    kept = await hash_password(PASSWORD)
    assert not await verify_password(PASSWORD + ".", kept)
    assert not await verify_password("", kept)
    assert not await verify_password(PASSWORD, "not a hash")
    assert await verify_password(PASSWORD, kept)
    assert PASSWORD not in kept and kept.startswith("$argon2id$") and not is_outdated(kept)
    assert kept != await hash_password(PASSWORD)


@pytest.mark.anyio
async def test_accents_fit_whichever_keyboard_composed_them() -> None:
    assert await verify_password("e\u0301te\u0301 pre\u0301fe\u0301re\u0301", await hash_password("été préféré"))


@pytest.mark.anyio
async def test_W7_nobody_has_no_password_and_takes_as_long_as_anybody_to_refuse(hashed: list[str]) -> None:
    kept = await hash_password(PASSWORD)
    assert not await verify_password("", "")
    assert not await verify_password(PASSWORD, "")
    hashed.clear()
    for one in (kept, ""):
        await verify_password("wrong", one)
    known, unknown = hashed
    assert extract_parameters(known) == extract_parameters(unknown), "the same work"


def test_tokens_differ_and_their_hash_does_not_hold_them() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100 and all(len(token) == 43 for token in tokens)
    token = tokens.pop()
    assert token not in token_hash(token) and len(token_hash(token)) == 64
    assert token_hash("\ud800")


def test_a_secret_that_others_can_read_is_refused(settings: Settings) -> None:
    make_secret(settings, sealed_keys_exist=False)
    os.chmod(settings.sealed_secret_file, 0o640)
    with pytest.raises(SecretError, match="chmod 600"):
        read_secret(settings.sealed_secret_file)
    with pytest.raises(SecretError, match="chmod 600"):
        make_secret(settings, sealed_keys_exist=True)
    with pytest.raises(SecretError, match="chmod 600"):
        seal(settings, b"private")


def test_a_missing_secret_is_not_made_again_while_keys_are_sealed_with_it(settings: Settings) -> None:
    with pytest.raises(SecretError, match="missing"):
        make_secret(settings, sealed_keys_exist=True)
    assert not settings.sealed_secret_file.exists()
    with pytest.raises(SecretError):
        open_sealed(settings, "v1.AAAA")


def test_a_secret_that_is_not_whole_is_refused(settings: Settings) -> None:
    settings.data_dir.mkdir()
    settings.sealed_secret_file.touch(0o600)
    with pytest.raises(SecretError, match="32 bytes, found 0"):
        make_secret(settings, sealed_keys_exist=False)


def test_the_secret_is_made_once_readable_by_its_owner_only(settings: Settings) -> None:
    before = os.umask(0)
    try:
        make_secret(settings, sealed_keys_exist=False)
    finally:
        os.umask(before)
    first = read_secret(settings.sealed_secret_file)
    make_secret(settings, sealed_keys_exist=True)
    make_secret(settings, sealed_keys_exist=False)
    assert read_secret(settings.sealed_secret_file) == first and len(first) == 32
    assert [path.name for path in settings.data_dir.iterdir()] == ["secret.key"]
    assert settings.sealed_secret_file.stat().st_mode & 0o777 == 0o600


def test_what_was_sealed_opens_with_the_same_secret_and_no_other(settings: Settings, tmp_path: Path) -> None:
    make_secret(settings, sealed_keys_exist=False)
    other = Settings(base_url=settings.base_url, data_dir=tmp_path / "other")
    make_secret(other, sealed_keys_exist=False)
    sealed = seal(settings, b"private key")
    changed = sealed[:-5] + ("A" if sealed[-5] != "A" else "B") + sealed[-4:]
    for wrong in ((other, sealed), (settings, changed), (settings, ""), (settings, "v1.?")):
        with pytest.raises(SecretError):
            open_sealed(*wrong)
    assert open_sealed(settings, sealed) == b"private key"
    assert seal(settings, b"private key") != sealed
