"""Password hashes, random tokens, and the sealing of private keys at rest.

Hashing takes 64 MiB and a tenth of a second on purpose, so two threads do it and everybody else waits their turn.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import secrets
import stat
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from server.errors import Invalid
from server.limits import PASSWORD_MAX_CHARACTERS, PASSWORD_MIN_CHARACTERS
from server.refusals import N_
from server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

PASSWORD_RULE = N_(
    "Choisissez un mot de passe de %(least)s à %(most)s caractères, qui ne soit ni votre identifiant ni votre nom."
)
_SEAL = "v1."
_NONCE_BYTES = 12
_SECRET_BYTES = 32


class SecretError(SettingsError):
    """The instance's secret cannot be used, or does not open what it should. One sentence for the operator."""


def check_password(password: str, *names: str) -> None:
    """Raises Invalid for a password that is too short, too long, or one of the names of its owner."""
    length_fits = PASSWORD_MIN_CHARACTERS <= len(password) <= PASSWORD_MAX_CHARACTERS
    is_a_name = password.strip().casefold() in {name.strip().casefold() for name in names}
    if not length_fits or is_a_name or not password.strip():
        limits = {"least": PASSWORD_MIN_CHARACTERS, "most": PASSWORD_MAX_CHARACTERS}
        raise Invalid(PASSWORD_RULE, field="password", params=limits)


async def hash_password(password: str) -> str:
    """An argon2id hash with its own salt and parameters (RFC 9106)."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), _hasher().hash, _octets(password))


async def verify_password(password: str, password_hash: str) -> bool:
    """Whether a password belongs to a hash. An empty hash takes as long as any other and never fits (W7)."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), _verify, password, password_hash)


def is_outdated(password_hash: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return _hasher().check_needs_rehash(password_hash)


def new_token() -> str:
    """A secret of 256 random bits, in characters that a URL and a header take."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is kept of a token: it finds the row, and nobody gets the token back from it."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def seal(settings: Settings, secret: bytes) -> str:
    """Encrypts with the instance's secret (AES-256-GCM). Raises SecretError when that cannot be used."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(_secret(settings.sealed_secret_file)).encrypt(nonce, secret, _SEAL.encode())
    return _SEAL + base64.urlsafe_b64encode(nonce + sealed).decode()


def open_sealed(settings: Settings, sealed: str) -> bytes:
    """What was sealed. Raises SecretError when the instance's secret is missing, exposed or another one."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = _secret(settings.sealed_secret_file)
    try:
        raw = base64.urlsafe_b64decode(sealed.removeprefix(_SEAL))
        return AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _SEAL.encode())
    except (InvalidTag, ValueError, binascii.Error):
        raise SecretError(f"{settings.sealed_secret_file}: this is not the secret that sealed our keys.") from None


def key_for(settings: Settings, purpose: str) -> bytes:
    """A key of 256 bits for one purpose, made of the instance's secret. Raises SecretError when that cannot be used."""
    return hmac.digest(_secret(settings.sealed_secret_file), purpose.encode(), "sha256")


def make_secret(settings: Settings, *, sealed_keys_exist: bool) -> None:
    """Makes the secret unless there is one; whole or not at all, readable by its owner only.

    Raises SecretError when it is missing although keys were sealed with it: a new one could not open them.
    """
    path = settings.sealed_secret_file
    if not path.exists():
        if sealed_keys_exist:
            raise SecretError(f"{path}: the secret that seals our keys is missing; restore it from the backup.")
        _write_secret(path)
    read_secret(path)


def read_secret(path: Path) -> bytes:
    """The secret. Raises SecretError when it is missing, not whole, or readable by others than its owner."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SecretError(f"{path}: the secret that seals our keys cannot be read ({error.strerror}).") from None
    with os.fdopen(handle, "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        secret = file.read(_SECRET_BYTES + 1)
    if mode & 0o077:
        raise SecretError(f"{path}: others can read the secret that seals our keys; run chmod 600 on it.")
    if len(secret) != _SECRET_BYTES:
        raise SecretError(f"{path}: expected a secret of {_SECRET_BYTES} bytes, found {len(secret)}.")
    return secret


def _write_secret(path: Path) -> None:
    """Written under another name first: `link` gives the final name only once, whoever else does the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError as error:
        raise SecretError(f"{path}: the secret that seals our keys cannot be written ({error.strerror}).") from None
    finally:
        draft.unlink(missing_ok=True)


@lru_cache(maxsize=8)
def _secret(path: Path) -> bytes:
    return read_secret(path)


def _verify(password: str, password_hash: str) -> bool:
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        _hasher().verify(password_hash or _nobodys_hash(), _octets(password))
    except (Argon2Error, InvalidHashError):
        return False
    return bool(password_hash)


def _octets(password: str) -> bytes:
    """The same octets for the same word, whichever keyboard composed its accents."""
    return unicodedata.normalize("NFC", password).encode(errors="surrogatepass")


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="argon2")


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobodys_hash() -> str:
    return _hasher().hash(secrets.token_hex(16))
