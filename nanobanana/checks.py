"""Django system checks: what production refuses, and development only warns of."""

import re
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from nanobanana.storage_choice import missing_variables, relies_on_a_role, requested_storage

SHORTEST_SECRET = 32  # characters
EXAMPLE_SECRETS = re.compile(
    r"secret|password|your[-_ ]|jwt[-_ ]?key|(change|replace)[-_ ]?(me|this|it)|example|development",
    re.IGNORECASE,
)
FEWEST_DISTINCT_CHARACTERS = 10
NEW_SECRET = "python -c 'import secrets; print(secrets.token_urlsafe(48))' prints a good one."


def check_secret(**kwargs: Any) -> list[CheckMessage]:
    if not settings.JWT_SECRET:
        return [refused_in_production(1, "JWT_SECRET is missing.", hint=NEW_SECRET)]
    secrets = {"JWT_SECRET": settings.JWT_SECRET, "JWT_SECRET_PREVIOUS": settings.JWT_SECRET_PREVIOUS}
    problems = [_weakness(name, secret) for name, secret in secrets.items() if secret]
    return [refused_in_production(1, problem, hint=NEW_SECRET) for problem in problems if problem]


def _weakness(name: str, secret: str) -> str | None:
    if EXAMPLE_SECRETS.search(secret) or len(set(secret)) < FEWEST_DISTINCT_CHARACTERS:
        return f"{name} can be guessed, and who knows it can sign in as anybody."
    if len(secret) < SHORTEST_SECRET:
        return f"{name} is shorter than {SHORTEST_SECRET} characters."
    return None


def check_debug(**kwargs: Any) -> list[CheckMessage]:
    return [refused_in_production(2, "DEBUG is on.")] if settings.DEBUG else []


def check_storage(**kwargs: Any) -> list[CheckMessage]:
    requested = requested_storage()
    missing = missing_variables(requested)
    if missing:
        problem = f"STORAGE_TYPE={requested} lacks {' and '.join(missing)}, so pictures are kept locally."
        return [refused_in_production(3, problem, hint="Set them, or STORAGE_TYPE=local.")]
    if relies_on_a_role(requested) and not _finds_credentials():
        problem = f"STORAGE_TYPE={requested} has no credentials, so no picture can be stored or read."
        hint = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role."
        return [refused_in_production(3, problem, hint=hint)]
    return []


def _finds_credentials() -> bool:
    """Whether the SDK of AWS finds some where it always looks: its files, the container, the machine."""
    import botocore.session  # half a second

    return botocore.session.Session().get_credentials() is not None


def check_cdn(**kwargs: Any) -> list[CheckMessage]:
    if not settings.CDN_BASE_URL or settings.STORAGE_TYPE != "local":
        return []
    problem = "CDN_BASE_URL has no effect: pictures of STORAGE_TYPE=local come from this server alone."
    return [Warning(problem, id="nanobanana.W006")]


def check_origins(**kwargs: Any) -> list[CheckMessage]:
    if "*" not in settings.CORS_ORIGIN:
        return []
    return [Warning("CORS_ORIGIN=* lets the pages of every site call this server.", id="nanobanana.W004")]


def check_mail(**kwargs: Any) -> list[CheckMessage]:
    if not settings.EMAIL_BACKEND.endswith("dummy.EmailBackend"):
        return []
    problem = "EMAIL_URL is missing: nobody is sent a link to reset a password or to confirm an address."
    return [Warning(problem, id="nanobanana.W005")]


def refused_in_production(number: int, problem: str, hint: str | None = None) -> CheckMessage:
    if settings.IS_PRODUCTION:
        return Error(problem, hint=hint, id=f"nanobanana.E{number:03}")
    return Warning(f"Production would refuse this: {problem}", hint=hint, id=f"nanobanana.W{number:03}")
