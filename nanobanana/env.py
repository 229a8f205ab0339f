"""Typed readers of the environment that refuse nonsense with one clear sentence.

An empty value counts as unset, so that the lines of a template may stay empty.
"""

import ipaddress
import os
import re
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

UNITS_OF_SIZE = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
UNITS_OF_TIME = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def secret(name: str) -> str:
    """The value of `name`, or the content of the file that `<name>_FILE` names; "" when neither is set."""
    path = text(f"{name}_FILE")
    if not path:
        return text(name)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}_FILE={path} cannot be read: {error}.") from error


def integer(name: str, default: int, *, at_least: int = 0, at_most: int = 2**53) -> int:
    value = text(name, str(default))
    if not re.fullmatch(r"-?[0-9]{1,17}", value) or not at_least <= int(value) <= at_most:
        raise ImproperlyConfigured(f"{name}={value} must be a whole number from {at_least} to {at_most}.")
    return int(value)


def boolean(name: str, default: bool) -> bool:
    value = text(name, str(default)).lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name}={value} must be true or false.")


def choice(name: str, default: str, among: tuple[str, ...]) -> str:
    value = text(name, default).lower()
    if value not in among:
        raise ImproperlyConfigured(f"{name}={value} must be one of: {', '.join(among)}.")
    return value


def words(name: str, default: str = "") -> list[str]:
    """A comma-separated list."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """A comma-separated list of addresses and networks such as 10.0.0.0/8."""
    try:
        return [ipaddress.ip_network(word) for word in words(name)]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must list addresses and networks: {error}.") from error


def seconds(name: str, default: str) -> int:
    """A span such as 900, 15m, 12h or 7d, in seconds."""
    value = text(name, default)
    match = re.fullmatch(r"([0-9]{1,9})\s*([smhdw]?)", value)
    if not match or int(match[1]) == 0:
        raise ImproperlyConfigured(f"{name}={value} must be a span of time such as 15m, 12h or 7d.")
    return int(match[1]) * UNITS_OF_TIME[match[2]]


def size(name: str, default: str, *, at_least: int = 1) -> int:
    """A size such as 10485760, 512KB or 10MB, in bytes."""
    value = text(name, default)
    match = re.fullmatch(r"([0-9]{1,12})\s*([KMG]?B?)", value.upper())
    if not match or int(match[1]) < at_least or match[2] not in UNITS_OF_SIZE:
        raise ImproperlyConfigured(f"{name}={value} must be a size such as 512KB or 10MB.")
    return int(match[1]) * UNITS_OF_SIZE[match[2]]


def url(name: str, default: str = "", *, schemes: tuple[str, ...] = ("http", "https")) -> str:
    """A URL without a slash at its end, or ""."""
    value = text(name, default).rstrip("/")
    if value and not re.match(rf"({'|'.join(re.escape(scheme) for scheme in schemes)})://[^\s]", value):
        raise ImproperlyConfigured(f"{name}={value} must be a URL that starts with {' or '.join(schemes)}.")
    return value


def bucket(name: str) -> str:
    """The name of a bucket, or ""."""
    value = text(name)
    if value and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
        raise ImproperlyConfigured(
            f"{name}={value} must be a bucket's name: 3 to 63 lower-case letters, digits and hyphens."
        )
    return value


def directory(name: str, default: Path) -> Path:
    """A directory as an absolute path; it need not exist yet."""
    return Path(text(name, str(default))).expanduser().absolute()
