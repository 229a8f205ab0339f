"""Every call of the schema has a method in the Python client, which works against the real server."""

import io
import zipfile
from typing import Any

import httpx
import pytest
from django.conf import settings
from nanobanana_client import ApiError, MemoryTokens, NanobananaClient, Tokens

from nanobanana.schema import schema
from tests.accounts.mails import token_mailed_to
from tests.clients.conftest import NOT_FOR_CLIENTS
from tests.support.contract import checked, template_of
from tests.support.people import PASSWORD, Person, picture
from tests.support.web_server import WebServer

OTHER_PASSWORD = "another good password"


class Recorder(httpx.AsyncClient):
    """Every answer is held against the schema, and every call noted."""

    def __init__(self) -> None:
        super().__init__(event_hooks={"response": [checked, self._note]}, timeout=20)
        self.calls: set[tuple[str, str | None]] = set()

    async def _note(self, response: httpx.Response) -> None:
        path = response.request.url.raw_path.partition(b"?")[0].decode("ascii")
        self.calls.add((response.request.method.lower(), template_of(path)))


async def test_every_call_has_a_method_that_works(
    server: WebServer, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "PUBLIC_BASE_URL", server.url)  # where direct uploads are sent
    http = Recorder()
    store = MemoryTokens(Tokens(alice.phone.token, alice.phone.refresh_token))
    async with NanobananaClient(server.url, store=store, http=http) as client:
        await sessions_and_trash(client)
        await messages(client)
        await images(client)
        await search_and_the_rest(client)
    async with Recorder() as strangers_http:
        await accounts(NanobananaClient(server.url, http=strangers_http))
    there = {(method, path) for path, methods in schema()["paths"].items() for method in methods}
    assert there - NOT_FOR_CLIENTS - http.calls - strangers_http.calls == set()


async def accounts(client: NanobananaClient) -> None:
    email = "pia.of.python@example.com"
    user = await client.accounts.register(email=email, username="Pia", password=PASSWORD)
    assert (user.email, user.email_verified, user.avatar) == (email, False, None)
    await client.accounts.resend_verification()
    verified = await client.accounts.verify_email(token=await token_mailed_to(email, "verify-email"))
    assert verified.email_verified
    renamed = await client.accounts.update(username="Pia P.", avatar="https://example.com/pia.png")
    assert await client.accounts.me() == renamed
    assert (await client.accounts.update(avatar=None)).avatar is None
    usage = await client.accounts.usage()
    assert (usage.images, usage.bytes, usage.limits.images) == (0, 0, None)
    await client.accounts.change_password(current_password=PASSWORD, new_password=OTHER_PASSWORD)
    assert await client.accounts.refresh()
    assert (await client.accounts.socket_ticket()).expires_in == 30
    assert await bytes_of(client.accounts.export_zip())
    await client.accounts.logout()
    with pytest.raises(ApiError, match="unauthorized"):
        await client.accounts.me()

    await client.accounts.forgot_password(email=email)
    token = await token_mailed_to(email, "reset-password")
    await client.accounts.reset_password(token=token, password=PASSWORD)
    await client.accounts.login(email=email, password=PASSWORD)
    [device] = await client.accounts.devices()
    assert device.current
    await client.accounts.logout_all()
    await client.accounts.login(email=email, password=PASSWORD)
    [device] = await client.accounts.devices()
    await client.accounts.sign_out_device(device.id)
    await client.accounts.login(email=email, password=PASSWORD)
    await client.accounts.delete(password=PASSWORD)
    assert await client.transport.store.load() is None


async def sessions_and_trash(client: NanobananaClient) -> None:
    session = await client.sessions.create("Cats")
    assert await client.sessions.get(session.id) == session
    changed = await client.sessions.update(session.id, title="Dogs", pinned=True, tags=["pets"])
    assert (changed.title, changed.pinned, changed.archived, changed.tags) == ("Dogs", True, False, ["pets"])
    others = [await client.sessions.create() for _ in range(2)]
    assert [each.id async for each in client.sessions.each(limit=2)][:1] == [session.id]
    assert [each.id for each in await client.sessions.list(tag="pets")] == [session.id]
    assert [each.id for each in await client.sessions.list(q="dogs")] == [session.id]
    assert len(await client.sessions.list(archived=True)) == 0
    assert (await client.sessions.stats(session.id)).message_count == 0
    assert await client.sessions.presence(session.id) == []
    copy = await client.sessions.duplicate(session.id, title="Dogs again")
    assert copy.title == "Dogs again"
    archive = await bytes_of(client.sessions.export_zip(session.id))
    assert "manifest.json" in zipfile.ZipFile(io.BytesIO(archive)).namelist()
    [imported] = await client.sessions.import_zip(archive)
    assert imported.title == "Dogs"

    await client.sessions.delete(session.id)
    assert [each.id for each in await client.trash.list()] == [session.id]
    assert (await client.trash.restore(session.id)).deleted_at is None
    await client.trash.delete(session.id)
    assert [each async for each in client.trash.each()] == []
    assert {each.id async for each in client.sessions.each()} >= {each.id for each in others}


async def messages(client: NanobananaClient) -> None:
    session = await client.sessions.create("Messages")
    image = await client.images.upload(session.id, picture())
    message = await client.messages.create(session.id, text="One", params={"model": "m"})
    assert await client.messages.get(message.id) == message
    changed = await client.messages.update(message.id, text="Two", if_match=message.revision)
    assert (changed.text, changed.revision) == ("Two", message.revision + 1)
    with pytest.raises(ApiError) as refused:
        await client.messages.update(message.id, text="Three", if_match=message.revision)
    assert refused.value.status == 412
    assert [each.text for each in await client.messages.revisions(message.id)] == ["Two", "One"]
    assert (await client.messages.restore(message.id, message.revision)).text == "One"
    texts = [each.text async for each in client.messages.each_revision(message.id, limit=1)]
    assert texts == ["One", "Two", "One"]
    version = await client.messages.create(session.id, text="Another", edited_of=message.id)
    branches = await client.messages.branches(message.id)
    assert [each.id for each in branches.branches] == [message.id, version.id]
    assert branches.active_id == version.id
    assert (await client.messages.add_image(version.id, image.id)).image_ids == [image.id]
    assert [each.id for each in await client.messages.images(version.id)] == [image.id]
    assert (await client.messages.remove_image(version.id, image.id)).images == []
    page = await client.messages.list(session.id, order="desc", limit=1, branch="all")
    assert [each.id for each in page] == [version.id]
    assert page.pagination.total == 2
    assert len([each async for each in client.messages.each(session.id, limit=1)]) == 2
    await client.messages.delete(version.id)
    with pytest.raises(ApiError, match="not_found"):
        await client.messages.get(version.id)


async def images(client: NanobananaClient) -> None:
    session = await client.sessions.create("Images")
    image = await client.images.upload(session.id, picture(), type="generated")
    assert (await client.images.get(image.id)).type == "generated"
    assert await bytes_of(client.images.content(image.id, "thumb"))
    batch = await client.images.upload_batch(session.id, [("a.png", picture()), ("b.txt", b"no picture")])
    assert (len(batch.successful), [failure.filename for failure in batch.failed]) == (1, ["b.txt"])
    assert [each.id for each in await client.images.list(session_id=session.id, type="generated")] == [
        image.id
    ]
    assert len([each async for each in client.images.each(limit=1)]) == 3
    direct = await client.images.upload_directly(session.id, picture(), "image/png", type="generated")
    assert (direct.mime, direct.type) == ("image/png", "generated")
    await client.images.delete(image.id)
    assert (await client.images.cleanup()).failed == []


async def search_and_the_rest(client: NanobananaClient) -> None:
    session = await client.sessions.create("Findings")
    message = await client.messages.create(session.id, text="a banana on the moon")
    [found] = await client.search.find("banana moon", type="message", session_id=session.id)
    assert found.message == message
    assert [found.message.text[start:end] for start, end in found.highlights] == ["banana", "moon"]
    assert [each.message.id async for each in client.search.each("banana", limit=1) if each.message]
    log = await client.events.since(None)
    await client.messages.delete(message.id)
    log = await client.events.since(log.cursor, session_ids=[session.id], wait=5)
    assert [event["type"] for event in log.events][:1] == ["message_deleted"]
    assert (await client.health.check()).status == "ok"


async def bytes_of(chunks: Any) -> bytes:
    return b"".join([chunk async for chunk in chunks])
