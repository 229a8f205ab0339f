"""What schemathesis has to know of us: how one signs in, and ids of what there is.

It is loaded through SCHEMATHESIS_HOOKS.
"""

import itertools
import re
import time
from pathlib import Path
from typing import Any

import requests
import schemathesis

PASSWORD = "correct horse battery"
PICTURE = Path(__file__).parent.parent / "data" / "formats" / "hopper.webp"
ULID = re.compile("[0-9A-HJKMNP-TV-Z]{26}")
IDEMPOTENCY_KEY = re.compile("[!-~]{1,255}")
NOUNS = {"imageIds": "imageId", "editedOf": "messageId"}
_numbers = itertools.count(time.time_ns())


class Account:
    """Somebody with a session, a message and an image, all made anew once something of it is gone."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.token = ""
        self.ids: dict[str, str] = {}

    def be_whole(self) -> None:
        message = self._ask("GET", f"/api/messages/{self.ids.get('messageId', 'none')}")
        if message.status_code == 401:
            self._register()
        if not message.ok or not message.json()["message"]["images"]:
            self._make_things()

    def _register(self) -> None:
        body = {"email": f"fuzz{next(_numbers)}@example.com", "username": "Fuzz", "password": PASSWORD}
        self.token = self._ask("POST", "/api/auth/register", json=body).json()["token"]

    def _make_things(self) -> None:
        session = self._ask("POST", "/api/sessions").json()["session"]["id"]
        files = {"image": PICTURE.read_bytes()}
        uploaded = self._ask("POST", "/api/images/upload", files=files, data={"sessionId": session}).json()
        image = uploaded["image"]["id"]
        body = {"role": "user", "text": "Hello", "imageIds": [image]}
        written = self._ask("POST", f"/api/sessions/{session}/messages", json=body).json()
        message = written["messageData"]["id"]
        device = self._ask("GET", "/api/auth/devices").json()["devices"][0]["id"]
        self.ids = {"sessionId": session, "imageId": image, "messageId": message, "deviceId": device}

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.request(method, self.base_url + path, headers=headers, timeout=20, **options)


@schemathesis.auth(refresh_interval=None)
class SignedIn:
    """A token that is good: some calls end the one they are made with."""

    def get(self, case: schemathesis.Case, context: Any) -> str:
        account = account_of(case)
        account.be_whole()
        return account.token

    def set(self, case: schemathesis.Case, data: str, context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def map_case(context: Any, case: schemathesis.Case) -> schemathesis.Case:
    """Every second case is of things that are there; a good Idempotency-Key is of this case alone."""
    if IDEMPOTENCY_KEY.fullmatch((case.headers or {}).get("Idempotency-Key", "")):
        case.headers["Idempotency-Key"] = f"case-{next(_numbers)}"
    if next(_numbers) % 2:
        account = account_of(case)
        account.be_whole()
        for part in ("path_parameters", "body"):
            before = getattr(case, part)
            after = _with_ids(before, account.ids)
            if after != before:
                setattr(case, part, after)
    return case


@schemathesis.hook
def filter_body(context: Any, body: Any) -> bool:
    """OpenAPI has no words for it that numbers over 64 bits are refused, wherever they stand."""
    return not _has_huge_number(body)


_accounts: dict[str, Account] = {}


def account_of(case: schemathesis.Case) -> Account:
    base_url = str(case.operation.base_url).rstrip("/")
    return _accounts.setdefault(base_url, Account(base_url))


def _with_ids(values: Any, ids: dict[str, str]) -> Any:
    """The same with ids of real things in the place of ids of nothing; what is no id stays."""
    if not isinstance(values, dict):
        return values
    return {name: _with_id(value, ids.get(NOUNS.get(name, name))) for name, value in values.items()}


def _has_huge_number(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_huge_number, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def _with_id(value: Any, identifier: str | None) -> Any:
    if identifier and isinstance(value, str) and ULID.fullmatch(value):
        return identifier
    if identifier and isinstance(value, list) and value:
        return [_with_id(value[0], identifier), *value[1:]]
    return value
