"""Password hashes, Argon2id, made and checked off the event loop; and which passwords are too weak."""

import logging
import unicodedata
from functools import cache

from django.conf import settings
from django.contrib.auth import hashers
from django.contrib.auth.models import User as DjangoUser
from django.contrib.auth.password_validation import CommonPasswordValidator, UserAttributeSimilarityValidator
from django.core import exceptions

from nanobanana.errors import ValidationFailed
from nanobanana.pools import BoundedPool

logger = logging.getLogger(__name__)

SHORTEST, LONGEST = 8, 128  # characters of the normalized form
LONGEST_TYPED = 4 * LONGEST  # no character is composed of more; normalizing takes quadratic time
BYTES_BCRYPT_READS = 72
WAITING = 64  # sign-ins in line in one process; more are told to come back
# One at a time: there is a process for each core, each hash takes 19 MB, and others are not to wait for it.
_pool = BoundedPool("password", threads=1, waiting=WAITING)


class Argon2idHasher(hashers.Argon2PasswordHasher):
    """The second choice of OWASP's password storage sheet: 19 MiB, two passes, one lane."""

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        return super().encode(normalized(password), salt)

    def verify(self, password: str, encoded: str) -> bool:
        return super().verify(normalized(password), encoded)


class BcryptHasher(hashers.BCryptPasswordHasher):
    """Checks the hashes of the seed's server: of a password as it was typed, and of its first 72 bytes."""

    def encode(self, password: str, salt: bytes) -> str:
        bcrypt = self._load_library()
        digest = bcrypt.hashpw(password.encode()[:BYTES_BCRYPT_READS], salt)
        return f"{self.algorithm}${digest.decode('ascii')}"

    def verify(self, password: str, encoded: str) -> bool:
        """Whether it is that password. A hash that bcrypt cannot read is nobody's."""
        try:
            return super().verify(password, encoded)
        except ValueError:
            logger.error("A stored bcrypt hash is damaged: no password opens that account until it is reset.")
            return False


async def hash_password(password: str) -> str:
    return await _pool.run(hashers.make_password, password)


async def verify_password(password: str, encoded: str | None) -> bool:
    """Whether the password is the hashed one; without a hash (no such account) as slowly, False."""
    return await _pool.run(_verify, password, encoded)


def is_outdated(encoded: str) -> bool:
    """Whether the hash is of another kind or strength than new ones."""
    hasher, preferred = hashers.identify_hasher(encoded), hashers.get_hasher()
    return hasher.algorithm != preferred.algorithm or preferred.must_update(encoded)


async def refuse_weak_password(password: str, *, email: str, username: str, field: str) -> None:
    """ValidationFailed, naming `field`, for a common password or one like the address or the name."""
    if settings.PASSWORD_CHECK:
        sentences = await _pool.run(_weaknesses, password, email, username)
        if sentences:
            raise ValidationFailed(details={field: sentences})


def normalized(password: str) -> str:
    """NFKC, so that one password typed on two keyboards is one password (RFC 8265)."""
    return unicodedata.normalize("NFKC", password)


def _verify(password: str, encoded: str | None) -> bool:
    if encoded is None:
        hashers.make_password(password)
        return False
    return hashers.check_password(password, encoded)


def _weaknesses(password: str, email: str, username: str) -> list[str]:
    user = DjangoUser(username=username, email=email)
    sentences: list[str] = []
    for validator in _validators():
        try:
            validator.validate(normalized(password), user)
        except exceptions.ValidationError as error:
            sentences += error.messages
    return sentences


@cache
def _validators() -> tuple[CommonPasswordValidator, UserAttributeSimilarityValidator]:
    return CommonPasswordValidator(), UserAttributeSimilarityValidator()
