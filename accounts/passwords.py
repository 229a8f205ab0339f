"""Password hashes, Argon2id, made and checked off the event loop."""

import unicodedata

from django.contrib.auth import hashers

from nanobanana.pools import BoundedPool

WAITING = 64  # sign-ins in line in one process; more are told to come back
_pool = BoundedPool("password", waiting=WAITING)


class Argon2idHasher(hashers.Argon2PasswordHasher):
    """The second choice of OWASP's password storage sheet: 19 MiB, two passes, one lane."""

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1


async def hash_password(password: str) -> str:
    return await _pool.run(hashers.make_password, normalized(password))


async def verify_password(password: str, encoded: str | None) -> bool:
    """Whether the password is the hashed one; without a hash (no such account) as slowly, False."""
    return await _pool.run(_verify, normalized(password), encoded)


def normalized(password: str) -> str:
    """NFKC, so that one password typed on two keyboards is one password (RFC 8265)."""
    return unicodedata.normalize("NFKC", password)


def _verify(password: str, encoded: str | None) -> bool:
    if encoded is None:
        hashers.make_password(password)
        return False
    return hashers.check_password(password, encoded)
