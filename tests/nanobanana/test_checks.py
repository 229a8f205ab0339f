import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import CheckMessage, Error, Warning
from pytest_django import Settings

from nanobanana import checks
from nanobanana.storage_choice import storage_type

PROJECT = Path(__file__).resolve().parents[2]
STRONG_SECRET = "k3Jx9vQ2mZ7tR5yW8bN4cL6hF1dS0gAq"


@pytest.fixture
def production(settings: Settings) -> None:
    settings.IS_PRODUCTION = True


@pytest.fixture
def development(settings: Settings) -> None:
    settings.IS_PRODUCTION = False


def only(messages: list[CheckMessage]) -> CheckMessage:
    assert len(messages) == 1
    return messages[0]


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        ("", "JWT_SECRET is missing."),
        ("k3Jx9vQ2mZ7tR5yW8bN4cL6hF1dS0gA", "JWT_SECRET is shorter than 32 characters."),
        ("your-super-secret-jwt-key", "JWT_SECRET can be guessed, and who knows it can sign in as anybody."),
        ("CHANGEME" * 8, "JWT_SECRET can be guessed, and who knows it can sign in as anybody."),
        (
            "a-string-secret-at-least-256-bits-long",
            "JWT_SECRET can be guessed, and who knows it can sign in as anybody.",
        ),
        ("0123" * 16, "JWT_SECRET can be guessed, and who knows it can sign in as anybody."),
    ],
)
def test_production_refuses_a_weak_secret(settings: Settings, secret: str, sentence: str) -> None:
    settings.JWT_SECRET = secret
    message = only(checks.check_secret())
    assert isinstance(message, Error)
    assert message.msg == sentence


@pytest.mark.usefixtures("development")
def test_development_warns_of_a_weak_secret(settings: Settings) -> None:
    settings.JWT_SECRET = "your-super-secret-jwt-key"
    message = only(checks.check_secret())
    assert isinstance(message, Warning)
    assert message.msg.startswith("Production would refuse this: JWT_SECRET can be guessed")


@pytest.mark.usefixtures("production")
def test_production_takes_a_strong_secret(settings: Settings) -> None:
    settings.JWT_SECRET = STRONG_SECRET
    assert checks.check_secret() == []


@pytest.mark.usefixtures("production")
def test_a_previous_secret_must_be_as_strong(settings: Settings) -> None:
    settings.JWT_SECRET, settings.JWT_SECRET_PREVIOUS = STRONG_SECRET, STRONG_SECRET[:31]
    message = only(checks.check_secret())
    assert isinstance(message, Error)
    assert message.msg == "JWT_SECRET_PREVIOUS is shorter than 32 characters."


@pytest.mark.usefixtures("production")
def test_production_refuses_debugging(settings: Settings) -> None:
    settings.DEBUG = True
    assert isinstance(only(checks.check_debug()), Error)
    settings.DEBUG = False
    assert checks.check_debug() == []


@pytest.mark.usefixtures("development")
def test_development_warns_of_debugging(settings: Settings) -> None:
    settings.DEBUG = True
    assert only(checks.check_debug()).msg == "Production would refuse this: DEBUG is on."


def test_origins_everywhere_are_warned_of(settings: Settings) -> None:
    settings.CORS_ORIGIN = ["*"]
    assert isinstance(only(checks.check_origins()), Warning)
    settings.CORS_ORIGIN = ["https://editor.example.com"]
    assert checks.check_origins() == []


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that AWS needs."""
    monkeypatch.setenv("STORAGE_TYPE", "aws")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA5EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("AWS_S3_BUCKET", "nanobanana-images")


@pytest.fixture
def aliyun(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that Aliyun needs."""
    monkeypatch.setenv("STORAGE_TYPE", "aliyun")
    monkeypatch.setenv("ALIYUN_ACCESS_KEY_ID", "LTAI5")
    monkeypatch.setenv("ALIYUN_ACCESS_KEY_SECRET", "wJalrXUtnFEMI")
    monkeypatch.setenv("ALIYUN_REGION", "oss-cn-hangzhou")
    monkeypatch.setenv("ALIYUN_BUCKET", "nanobanana-images")


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("cloud", ["aws", "aliyun"])
def test_a_cloud_of_which_all_is_set_is_served(request: pytest.FixtureRequest, cloud: str) -> None:
    request.getfixturevalue(cloud)
    assert checks.check_storage() == []
    assert storage_type() == cloud


@pytest.mark.parametrize(
    ("cloud", "changes", "missing"),
    [
        ("aws", {"AWS_ACCESS_KEY_ID": ""}, "AWS_ACCESS_KEY_ID"),
        ("aws", {"AWS_SECRET_ACCESS_KEY": "your-aws-secret-key"}, "AWS_SECRET_ACCESS_KEY"),
        ("aws", {"AWS_S3_BUCKET": ""}, "AWS_S3_BUCKET"),
        (
            "aws",
            {"AWS_ACCESS_KEY_ID": "your-aws-access-key", "AWS_SECRET_ACCESS_KEY": "your-aws-secret-key"},
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        ("aws", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_S3_BUCKET": ""}, "AWS_S3_BUCKET"),
        (
            "aliyun",
            {"ALIYUN_ACCESS_KEY_ID": "", "ALIYUN_ACCESS_KEY_SECRET": ""},
            "ALIYUN_ACCESS_KEY_ID and ALIYUN_ACCESS_KEY_SECRET",
        ),
        ("aliyun", {"ALIYUN_REGION": "", "ALIYUN_BUCKET": ""}, "ALIYUN_REGION and ALIYUN_BUCKET"),
    ],
)
def test_a_cloud_of_which_something_is_missing_means_local_storage(
    request: pytest.FixtureRequest,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    cloud: str,
    changes: dict[str, str],
    missing: str,
) -> None:
    request.getfixturevalue(cloud)
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    settings.IS_PRODUCTION = False
    assert isinstance(only(checks.check_storage()), Warning)
    settings.IS_PRODUCTION = True
    refusal = only(checks.check_storage())
    assert isinstance(refusal, Error)
    assert refusal.msg == f"STORAGE_TYPE={cloud} lacks {missing}, so pictures are kept locally."
    assert storage_type() == "local"


@pytest.mark.usefixtures("production", "aws")
def test_aws_may_find_credentials_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    refusal = only(checks.check_storage())
    assert isinstance(refusal, Error)
    assert refusal.msg.startswith("STORAGE_TYPE=aws has no credentials")
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = A\naws_secret_access_key = S\n")
    assert checks.check_storage() == []
    assert storage_type() == "aws"


def test_a_cdn_before_local_files_is_warned_of(settings: Settings) -> None:
    assert checks.check_cdn() == []
    settings.CDN_BASE_URL = "https://cdn.example.com"
    assert only(checks.check_cdn()).msg.startswith("CDN_BASE_URL has no effect")
    settings.STORAGE_TYPE = "aws"
    assert checks.check_cdn() == []


@pytest.mark.usefixtures("production")
def test_local_storage_is_never_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_TYPE", "local")
    assert checks.check_storage() == []
    assert storage_type() == "local"


def test_a_refused_production_does_not_start() -> None:
    """The checks are registered, and they stop every command."""
    answer = subprocess.run(
        [sys.executable, "-m", "django", "check"],
        cwd=PROJECT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.support.tiny_settings", "APP_ENV": "production"}
        | {"JWT_SECRET": "secret", "DEBUG": "1", "STORAGE_TYPE": "aws", "CORS_ORIGIN": "*"},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 1
    for number in ("E001", "E002", "E003", "W004"):
        assert f"(nanobanana.{number})" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_it_is_said_that_no_mails_are_sent(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    message = only(checks.check_mail())
    assert (type(message), message.id) == (Warning, "nanobanana.W005")
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert checks.check_mail() == []
