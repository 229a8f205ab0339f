"""The development secret: made once, kept in VAR_DIR, so that tokens survive a restart."""

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

SHORTEST = 32  # characters; whoever guesses it signs in as anybody


def development_secret(var_dir: Path) -> str:
    """Return the secret kept in `var_dir`, made on first use; processes that start together agree on one."""
    path = var_dir / "jwt-secret"
    try:
        if not path.exists():
            _make(path)
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"VAR_DIR={var_dir} cannot be used: {error}.") from error
    if len(secret) < SHORTEST:  # the disk was full, or the machine lost its power, when it was made
        raise ImproperlyConfigured(
            f"JWT_SECRET is empty, and {path}, which is used instead, has less than {SHORTEST} characters: "
            "remove that file, and a new secret is made."
        )
    return secret


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(48), encoding="ascii")
    try:
        os.link(draft, path)  # unlike a rename, a link never replaces the secret another process just made
    except FileExistsError:
        pass
    draft.unlink()
