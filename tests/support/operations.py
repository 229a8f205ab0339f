"""Requests made from the schema: each operation with a body and parameters that pass its validation."""

import re
from dataclasses import dataclass
from typing import Any

from nanobanana.redisdb.ids import new_id
from nanobanana.schema import schema
from tests.support.archives import small, zipped
from tests.support.people import Person, picture

# What the fields of bodies that are ids are ids of.
NOUNS = {"imageIds": "imageId", "editedOf": "messageId"}
IDS = ("sessionId", "messageId", "imageId", "deviceId", "userId", "uploadId")
EXAMPLES: dict[str, Any] = {
    "email": "somebody.of.the.matrix@example.com",
    "currentPassword": "not the password",
    "password": "not the password",
    "newPassword": "another good password",
    "avatar": "https://example.com/avatar.png",
    "type": "uploaded",
    "name": "swagger-ui.css",
    "q": "message",
    "sha256": "0" * 64,
}
FILES = {"image": picture, "images": picture, "archive": lambda: zipped(small())}


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    content: dict[str, Any]

    @property
    def name(self) -> str:
        return self.content["operationId"]

    @property
    def wants_token(self) -> bool:
        return self.content.get("security") == [{"bearer": []}]

    @property
    def takes_key(self) -> bool:
        return any(each["name"] == "Idempotency-Key" for each in self._parameters("header"))

    @property
    def ids_in_path(self) -> list[str]:
        return [name for name in re.findall(r"{(\w+)}", self.path) if name in IDS]

    @property
    def ids(self) -> list[str]:
        """The names of all ids it takes, in the path and in the body."""
        return [*self.ids_in_path, *(name for name in self._fields if NOUNS.get(name, name) in IDS)]

    def request(self, ids: dict[str, str]) -> dict[str, Any]:
        """The arguments of httpx for a request with these ids, by the names of `ids`."""
        path = re.sub(r"{(\w+)}", lambda match: str(self._example(match[1], ids)), self.path)
        required = [each["name"] for each in self._parameters("query") if each.get("required")]
        query = {name: EXAMPLES.get(name, "1") for name in required}
        return {"method": self.method.upper(), "url": path, "params": query, **self._body(ids)}

    @property
    def media_type(self) -> str:
        return next(iter(self.content.get("requestBody", {}).get("content", {})), "")

    @property
    def _fields(self) -> dict[str, Any]:
        described = self.content["requestBody"]["content"][self.media_type] if self.media_type else {}
        if "schema" not in described:  # no body, or bytes
            return {}
        reference = described["schema"]["$ref"]
        return schema()["components"]["schemas"][reference.rpartition("/")[2]]["properties"]

    def _parameters(self, place: str) -> list[dict[str, Any]]:
        return [each for each in self.content.get("parameters", []) if each["in"] == place]

    def _body(self, ids: dict[str, str]) -> dict[str, Any]:
        values = {name: self._example(name, ids) for name in self._fields}
        files = {name: ("file", make()) for name, make in FILES.items() if name in values}
        if files:
            return {"files": files, "data": {name: values[name] for name in values if name not in files}}
        return {"json": values} if values else {}

    def _example(self, name: str, ids: dict[str, str]) -> Any:
        if name in ids:
            return [ids[name]] if name == "imageIds" else ids[name]
        if name in EXAMPLES:
            return EXAMPLES[name]
        described = self._fields.get(name) or self._schema_of(name)
        return described["enum"][0] if "enum" in described else self._of_type(described)

    def _schema_of(self, name: str) -> dict[str, Any]:
        return next(each["schema"] for each in self._parameters("path") if each["name"] == name)

    @staticmethod
    def _of_type(described: dict[str, Any]) -> Any:
        kinds = described["type"] if isinstance(described["type"], list) else [described["type"]]
        return {"object": {}, "array": [], "boolean": True, "integer": 1}.get(kinds[0], "example")


def operations() -> list[Operation]:
    return [
        Operation(method, path, content)
        for path, methods in schema()["paths"].items()
        for method, content in methods.items()
    ]


def absent_ids(operation: Operation) -> dict[str, str]:
    return {name: new_id() for name in operation.ids}


async def ids_of(person: Person) -> dict[str, str]:
    """The id of one thing of each kind, made for this."""
    session = await person.make_session(f"The session of {person.id}")
    image = await person.make_image(session["id"])
    message = await person.make_message(
        session["id"], f"The message of {person.id}", params={"secret": f"The params of {person.id}"}
    )
    [device, *_] = (await person.get("/api/auth/devices")).json()["devices"]
    ids = {"sessionId": session["id"], "messageId": message["id"], "imageId": image["id"]}
    body = {"sessionId": session["id"], "mime": "image/png", "size": 100}
    upload = (await person.post("/api/images/uploads", body)).json()["upload"]
    ids |= {"deviceId": device["id"], "userId": person.id, "uploadId": upload["id"]}
    return ids | {name: ids[noun] for name, noun in NOUNS.items()}
