"""Typed readers of the environment that refuse nonsense with one clear sentence.

An empty value counts as unset, so that the lines of a template may stay empty.
"""

import ipaddress
import os
import re
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from nanobanana.redisdb.client import connect

UNITS_OF_SIZE = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
UNITS_OF_TIME = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LONGEST_SPAN = 100 * 365 * 86400  # seconds; the calendar of Python ends with the year 9999


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


def token(name: str) -> str:
    """A secret that callers show in a header, where other characters would never match; or ""."""
    value = secret(name)
    if not value.isascii() or not value.isprintable():
        raise ImproperlyConfigured(f"{name} must have ASCII characters only: it is shown in a header.")
    return value


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
    span = int(match[1]) * UNITS_OF_TIME[match[2]] if match else 0
    if not 0 < span <= LONGEST_SPAN:
        raise ImproperlyConfigured(
            f"{name}={value} must be a span of time such as 15m, 12h or 7d, and at most 100 years."
        )
    return span


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
    if value and not (value.startswith(tuple(f"{scheme}://" for scheme in schemes)) and _is_url(value)):
        examples = (f"{scheme}://host:port" if scheme != "unix" else "unix:///path" for scheme in schemes)
        raise ImproperlyConfigured(
            f"{name}={_without_secrets(value)} must be a URL such as {' or '.join(examples)}."
        )
    return value


def redis_url(name: str) -> str:
    """What the client of Redis takes for an address, or ""."""
    value = url(name, schemes=("redis", "rediss", "unix"))
    if value and not _is_url_of_redis(value):
        raise ImproperlyConfigured(
            f"{name}={_without_secrets(value)} must be redis://host:port/database or unix:///path, "
            "with no other options behind a question mark than the client of Redis knows."
        )
    return value


def origins(name: str, default: str) -> list[str]:
    """A comma-separated list of what browsers send as the origin of a page; "*" is all of them."""
    values = words(name, default)
    for value in values:
        if value not in {"*", "null", "file://"} and not _is_origin(value):
            raise ImproperlyConfigured(
                f"{name}={_without_secrets(value)} must be an origin such as https://example.com, "
                "without anything behind the host and port, or *."
            )
    return values


def host(name: str) -> str:
    """A host as it stands in a URL, or ""; a port has a variable of its own."""
    value = text(name)
    if _is_ipv6(value):
        return f"[{value}]"
    if value and not re.fullmatch(r"[\w.-]+", value):
        raise ImproperlyConfigured(
            f"{name}={_without_secrets(value)} must be the name or the address of a host, without a port."
        )
    return value


def mailbox(name: str, default: str) -> str:
    """An address of e-mail, which may have a name before it."""
    value = text(name, default)
    if not value.isprintable() or not re.fullmatch(r"[^@\s]+@[^@\s]+", parseaddr(value)[1]):
        raise ImproperlyConfigured(
            f"{name}={_in_one_line(value)} must be an address such as Name <name@example.com>."
        )
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
    value = text(name, str(default))
    try:
        path = Path(value).expanduser().absolute()
        obstacles = [place for place in (path, *path.parents) if place.exists() and not place.is_dir()]
    except (OSError, RuntimeError) as error:  # such as ~somebody who is not known
        raise ImproperlyConfigured(f"{name}={value} cannot be used: {str(error).rstrip('.')}.") from error
    if obstacles:
        raise ImproperlyConfigured(f"{name}={value} cannot be used: {obstacles[0]} is not a directory.")
    return path


def _is_url(value: str) -> bool:
    """Whether it has a host, or for unix:// a path instead, and nothing that cannot stand in a URL."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    if not value.isprintable() or " " in value or port == 0:
        return False
    if parts.scheme == "unix":
        return bool(parts.path) and not parts.hostname
    return bool(parts.hostname)


def _is_origin(value: str) -> bool:
    if not _is_url(value):
        return False
    parts = urlsplit(value)
    return value == f"{parts.scheme}://{parts.netloc}" and "@" not in value


def _is_url_of_redis(value: str) -> bool:
    parts = urlsplit(value)
    if parts.scheme != "unix" and not re.fullmatch("(/[0-9]+)?", parts.path):
        return False  # the client would take another database
    try:
        connect(value).connection_pool.make_connection()  # which does not connect yet
    except Exception:  # an option that it does not know, or of another type, is any kind of error
        return False
    return True


def _is_ipv6(value: str) -> bool:
    try:
        return bool(ipaddress.IPv6Address(value))
    except ValueError:
        return False


def _without_secrets(value: str) -> str:
    """The URL without its user, password and options, wherever a password that is not quoted seems to end.

    Where the host was forgotten, the password stands where a port would.
    """
    shown = re.sub(r"^(\w+://)?.*@", r"\1***@", value, flags=re.DOTALL).partition("?")[0]
    return _in_one_line(re.sub(r":(?!//|[0-9]{1,5}(/|$)).*", ":***", shown, flags=re.DOTALL))


def _in_one_line(value: str) -> str:
    return value if value.isprintable() else repr(value)
