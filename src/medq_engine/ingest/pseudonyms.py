"""Names of people and files under a secret: the same in every run, and nothing without the salt."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from medq_engine.errors import MedqError

NEW_SALT = (
    "{path}: a new salt. Keep it: without it the same patients come out as new subjects. "
    "Keep it secret: with it, subjects can be tried against names."
)


class SaltError(MedqError):
    """The salt's file cannot be used."""


def read_salt(path: Path) -> bytes:
    """The salt's bytes; if there is no file, one of 32 random bytes is made for its owner's eyes.

    Raises:
        SaltError: The file has fewer than 16 bytes.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        salt = path.read_bytes()
        if len(salt) < 16:
            raise SaltError(f"{path}: a salt has at least 16 bytes") from None
        return salt
    salt = secrets.token_bytes(32)
    with os.fdopen(descriptor, "wb") as file:
        file.write(salt)
    print(NEW_SALT.format(path=path))
    return salt


def keyed(salt: bytes, *parts: str) -> bytes:
    """HMAC-SHA256 (RFC 2104) of texts under the salt, 32 bytes; undecodable file names are kept."""
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hmac.new(salt, text, hashlib.sha256).digest()


def keyed_file(salt: bytes, path: Path) -> bytes:
    """Digest of a file's bytes, 16 bytes: BLAKE2b (RFC 7693) keyed with the salt."""
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.blake2b(key=salt[:64], digest_size=16)
        ).digest()
