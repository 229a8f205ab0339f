"""The development secret: made once, kept in VAR_DIR, so that tokens survive a restart."""

import os
import secrets
from pathlib import Path


def development_secret(var_dir: Path) -> str:
    """Return the secret kept in `var_dir`, made on first use; processes that start together agree on one."""
    path = var_dir / "jwt-secret"
    if path.exists():
        return path.read_text(encoding="ascii").strip()
    var_dir.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(48), encoding="ascii")
    try:
        os.link(draft, path)  # unlike a rename, a link never replaces the secret another process just made
    except FileExistsError:
        pass
    draft.unlink()
    return path.read_text(encoding="ascii").strip()
