"""How mails are sent, from one address."""

from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from nanobanana import env

BACKENDS = "django.core.mail.backends"


@dataclass(frozen=True)
class MailServer:
    """What Django's settings EMAIL_… want to know."""

    backend: str
    host: str = "localhost"
    port: int = 25
    user: str = ""
    password: str = ""
    is_tls: bool = False  # from the first byte
    starts_tls: bool = False


def mail_server(*, is_production: bool) -> MailServer:
    """What `EMAIL_URL` says: `smtp://user:password@host:port`, `smtps://…` or `console:`.

    Without it mails are shown on the console; in production, where that is kept as a log, they are dropped.
    """
    address = env.secret("EMAIL_URL") or ("" if is_production else "console:")
    if not address:
        return MailServer(f"{BACKENDS}.dummy.EmailBackend")
    if address.rstrip("/") == "console:":
        return MailServer(f"{BACKENDS}.console.EmailBackend")
    return _smtp_server(address)


def _smtp_server(address: str) -> MailServer:
    try:
        url = urlsplit(address)
        port = url.port or _usual_port(url)
    except ValueError:
        url, port = urlsplit(""), 0
    if url.scheme not in {"smtp", "smtps"} or not url.hostname or url.path.strip("/"):
        # the address is not repeated: it has a password
        raise ImproperlyConfigured("EMAIL_URL must be smtp://user:password@host:port, smtps://… or console:.")
    return MailServer(
        f"{BACKENDS}.smtp.EmailBackend",
        host=url.hostname,
        port=port,
        user=unquote(url.username or ""),
        password=unquote(url.password or ""),
        is_tls=url.scheme == "smtps",
        starts_tls=url.scheme == "smtp" and bool(url.username),  # a password never travels in the clear
    )


def _usual_port(url: SplitResult) -> int:
    if url.scheme == "smtps":
        return 465
    return 587 if url.username else 25
