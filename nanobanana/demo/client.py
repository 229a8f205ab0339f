"""The REST half of a device: requests that note when they were sent, what came back and how long it took."""

import json
from typing import Any

import httpx

from nanobanana.demo.timeline import Answer, Direction, Moment, PromiseBroken, Timeline, gist, shorten

Body = dict[str, Any]
File = tuple[str, bytes]  # its name and its content


class Client:
    """Speaks for one device. A call returns the JSON of the answer; an unexpected status breaks a promise.

    `expecting` is the status that the answer must have; without it, any 2xx is right.
    """

    def __init__(self, name: str, url: str, timeline: Timeline) -> None:
        self.name = name
        self.token = ""
        self.timeline = timeline
        # a proxy of the environment must not stand between the demonstration and a local server
        self._http = httpx.AsyncClient(base_url=url, timeout=10, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, path: str, *, expecting: int | None = None) -> Answer:
        return await self._call("GET", path, expecting)

    async def post(
        self, path: str, form: Body | None = None, *, expecting: int | None = None, once: str = ""
    ) -> Answer:
        """`once` is an Idempotency-Key: requests with the same key have one effect."""
        headers = {"Idempotency-Key": once} if once else {}
        return await self._call("POST", path, expecting, json=form, headers=headers)

    async def put(self, path: str, form: Body, *, expecting: int | None = None) -> Answer:
        return await self._call("PUT", path, expecting, json=form)

    async def delete(self, path: str, form: Body | None = None, *, expecting: int | None = None) -> Answer:
        return await self._call("DELETE", path, expecting, json=form)

    async def upload(self, session_id: str, photo: File, *, expecting: int | None = None) -> Answer:
        form = {"sessionId": session_id, "type": "uploaded"}
        return await self._call("POST", "/api/images/upload", expecting, data=form, files={"image": photo})

    async def upload_batch(self, session_id: str, photos: list[File]) -> Answer:
        form = {"sessionId": session_id, "type": "uploaded"}
        files = [("images", photo) for photo in photos]
        return await self._call("POST", "/api/images/upload/batch", None, data=form, files=files)

    async def download(
        self, url: str, headers: dict[str, str] | None = None, *, shows: str = ""
    ) -> httpx.Response:
        """Any answer to a signed URL: no token is sent, as an <img> sends none. `shows` is an image id."""
        sent_at = self.timeline.now()
        response = await self._http.get(url, headers=headers)
        self._record_request(sent_at, response, response.url.path, pictures=(shows,) if shows else ())
        return response

    async def _call(self, method: str, path: str, expecting: int | None, **options: Any) -> Answer:
        headers = options.pop("headers", {})
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        sent_at = self.timeline.now()
        response = await self._http.request(method, path, headers=headers, **options)
        body = decoded(response)
        self._record_request(sent_at, response, path, *gist(body))
        right = response.is_success if expecting is None else response.status_code == expecting
        if not right:
            words = f"{self.name}: {method} {shorten(path)} is answered as it should be"
            raise PromiseBroken(words, expected=expecting or "2xx", seen=f"{response.status_code} {body}")
        return body

    def _record_request(
        self,
        sent_at: float,
        response: httpx.Response,
        path: str,
        text: str = "",
        pictures: tuple[str, ...] = (),
    ) -> None:
        moment = Moment(
            at=sent_at,
            device=self.name,
            direction="sent",
            what=f"{response.request.method} {shorten(path)}",
            note=str(response.status_code),
            text=text,
            pictures=pictures,
            cursor=response.headers.get("X-Sync-Cursor", ""),
            took=self.timeline.now() - sent_at,
        )
        self.timeline.add(moment)

    def record(self, direction: Direction, what: str, note: str = "") -> None:
        self.timeline.add(Moment(self.timeline.now(), self.name, direction, what, note))


def decoded(response: httpx.Response) -> Answer:
    """The JSON of an answer; of an answer that is none, its beginning."""
    try:
        return json.loads(response.content, object_hook=Answer)
    except ValueError:
        return Answer(notJson=response.text[:200])
