"""EMAIL_URL"""

import pytest
from django.core.exceptions import ImproperlyConfigured

from nanobanana.mail_settings import MailServer, mail_server

SMTP = "django.core.mail.backends.smtp.EmailBackend"


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("smtp://mail.example.com", MailServer(SMTP, "mail.example.com")),
        ("smtp://127.0.0.1:1025/", MailServer(SMTP, "127.0.0.1", 1025)),
        (
            "smtp://ann%40example.com:p%2Fss%3A%40@mail.example.com",
            MailServer(SMTP, "mail.example.com", 587, "ann@example.com", "p/ss:@", starts_tls=True),
        ),
        (
            "smtps://ann:secret@mail.example.com",
            MailServer(SMTP, "mail.example.com", 465, "ann", "secret", is_tls=True),
        ),
        (
            "smtps://ann:secret@[2001:db8::1]:2465",
            MailServer(SMTP, "2001:db8::1", 2465, "ann", "secret", is_tls=True),
        ),
        ("console:", MailServer("django.core.mail.backends.console.EmailBackend")),
        ("console://", MailServer("django.core.mail.backends.console.EmailBackend")),
    ],
)
def test_it_says_how_mails_are_sent(
    monkeypatch: pytest.MonkeyPatch, address: str, server: MailServer
) -> None:
    monkeypatch.setenv("EMAIL_URL", address)
    assert mail_server(is_production=True) == server


@pytest.mark.parametrize(("is_production", "backend"), [(False, "console"), (True, "dummy")])
def test_without_it_mails_are_shown_and_in_production_not_sent(
    monkeypatch: pytest.MonkeyPatch, is_production: bool, backend: str
) -> None:
    monkeypatch.delenv("EMAIL_URL", raising=False)
    expected = f"django.core.mail.backends.{backend}.EmailBackend"
    assert mail_server(is_production=is_production).backend == expected


@pytest.mark.parametrize(
    "address",
    [
        "mail.example.com",
        "http://ann:secret@mail.example.com",
        "smtp://",
        "smtp://ann:secret@",
        "smtp://ann:secret@mail.example.com:x",
        "smtp://ann:secret@mail.example.com:99999",
        "smtp://ann:secret@mail.example.com/inbox",
        "smtp://ann:secret@[mail.example.com",
    ],
)
def test_nonsense_is_refused_without_repeating_the_password(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("EMAIL_URL", address)
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL must be") as refused:
        mail_server(is_production=False)
    assert "secret" not in str(refused.value)
