"""How the Python client sends: tokens, attempts, keys and errors."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from nanobanana_client import ApiError, MemoryTokens, NanobananaClient, Tokens

from tests.clients.bad_network import BadNetwork
from tests.clients.conftest import QUICK, client_of
from tests.support.people import PATIENCE, Person


class NotedTokens(MemoryTokens):
    """Notes what is saved."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(tokens)
        self.saved: list[Tokens | None] = []

    async def save(self, tokens: Tokens | None) -> None:
        self.saved.append(tokens)
        await super().save(tokens)


def answers(*responses: httpx.Response) -> tuple[httpx.AsyncClient, list[httpx.Request]]:
    """A server that answers with these, one after another, and what it was asked."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return responses[len(requests) - 1]

    return httpx.AsyncClient(transport=httpx.MockTransport(answer)), requests


def pong(status: int, **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json={"session": None, "error": "e", "message": "m"}, headers=names)


async def test_an_error_says_all_that_the_answer_says(laptop: NanobananaClient) -> None:
    with pytest.raises(ApiError) as refused:
        await laptop.sessions.update("01ARZ3NDEKTSV4RRFFQ69G5FAV", title="x" * 101)
    error = refused.value
    assert (error.status, error.code) == (400, "validation_failed")
    assert error.details.keys() == {"title"}
    assert error.message
    assert error.request_id
    assert error.retry_after is None


async def test_a_server_that_is_not_there_is_an_error_too() -> None:
    async with NanobananaClient("http://127.0.0.1:1", retries=1, backoff=QUICK) as client:
        with pytest.raises(ApiError) as refused:
            await client.health.check()
    assert (refused.value.status, refused.value.code) == (0, "network_error")


async def test_a_proxy_s_page_is_an_error_too() -> None:
    http, _ = answers(httpx.Response(200, text="<p>Sign in to the network</p>"))
    async with NanobananaClient("http://server", http=http) as client:
        with pytest.raises(ApiError, match="unexpected_answer"):
            await client.accounts.me()


async def test_a_refused_token_is_renewed_once_for_all(alice: Person) -> None:
    store = NotedTokens(Tokens("refused", alice.phone.refresh_token))
    async with NanobananaClient(alice.phone.server.url, store=store) as client:
        users = await asyncio.gather(*(client.accounts.me() for _ in range(5)))
    assert {user.id for user in users} == {alice.id}
    assert len(store.saved) == 1
    assert store.saved[0] not in {None, Tokens("refused", alice.phone.refresh_token)}


async def test_a_token_that_another_process_renewed_is_used(alice: Person) -> None:
    class Shared(NotedTokens):
        async def load(self) -> Tokens | None:
            tokens = await super().load()
            self._tokens = Tokens(alice.phone.token, "renewed elsewhere")
            return tokens

    store = Shared(Tokens("refused", "renewed elsewhere before"))
    async with NanobananaClient(alice.phone.server.url, store=store) as client:
        assert (await client.accounts.me()).id == alice.id
    assert store.saved == []


async def test_a_device_that_was_signed_out_forgets_its_tokens(alice: Person) -> None:
    store = NotedTokens(Tokens(alice.phone.token, alice.phone.refresh_token))
    await alice.phone.post("/api/auth/logout")
    async with NanobananaClient(alice.phone.server.url, store=store) as client:
        with pytest.raises(ApiError, match="token_invalid"):
            await client.accounts.me()
    assert store.saved == [None]


async def test_a_renewal_whose_answer_was_lost_is_made_up_for_later(
    alice: Person, network: BadNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = NotedTokens(Tokens(alice.phone.token, alice.phone.refresh_token))
    async with NanobananaClient(network.url, store=store, retries=0) as phone:
        network.answers_to_lose = 1
        with pytest.raises(ApiError, match="network_error"):
            await phone.accounts.refresh()
        with monkeypatch.context() as later:  # when who shows the token without the key is signed out
            later.setattr("accounts.services.sign_ins.GRACE", timedelta(0))
            renewed = await phone.accounts.refresh()
        assert [tokens.token for tokens in store.saved if tokens] == [renewed]
        again = await phone.accounts.refresh()
        assert (await phone.accounts.me()).id == alice.id
    assert again != renewed
    lost, repeated, another = keys_of_renewals(network)
    assert lost == repeated
    assert another != repeated


def keys_of_renewals(network: BadNetwork) -> list[bytes]:
    renewals = [head for head in network.requests if head.startswith(b"POST /api/auth/refresh")]
    return [key for head in renewals for key in keys_in(head)]


async def test_a_renewal_outlives_who_asked_for_it(alice: Person, network: BadNetwork) -> None:
    store = NotedTokens(Tokens(alice.phone.token, alice.phone.refresh_token))
    async with NanobananaClient(network.url, store=store) as phone:
        asking = asyncio.create_task(phone.accounts.refresh())
        await soon(lambda: bool(network.requests))
        asking.cancel()
        await asyncio.wait([asking])
    assert asking.cancelled()
    [tokens] = store.saved  # when the client was closed
    assert tokens
    async with NanobananaClient(alice.phone.server.url, store=store) as phone:
        assert await phone.accounts.refresh()
        assert (await phone.accounts.me()).id == alice.id


async def soon(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110  # the network tells nobody
            await asyncio.sleep(0)


async def test_who_signs_in_meanwhile_stays_signed_in(alice: Person, network: BadNetwork) -> None:
    store = NotedTokens(Tokens(alice.phone.token, alice.phone.refresh_token))
    of_another_device = Tokens(alice.laptop.token, alice.laptop.refresh_token)
    async with NanobananaClient(network.url, store=store) as phone:
        asking = asyncio.create_task(phone.accounts.refresh())
        await soon(lambda: bool(network.requests))
        await store.save(of_another_device)
        assert await asking == alice.laptop.token
    assert store.saved == [of_another_device]


async def test_a_write_whose_answer_was_lost_has_one_effect(alice: Person, network: BadNetwork) -> None:
    session_id = (await alice.make_session())["id"]
    async with client_of(alice.phone, network.url) as phone:
        network.answers_to_lose = 2
        message = await phone.messages.create(session_id, text="Once")
        page = await phone.messages.list(session_id)
    assert [each.id for each in page] == [message.id]
    writes = [head for head in network.requests if head.startswith(b"POST")]
    assert len(writes) == 3
    assert len({key for head in writes for key in keys_in(head)}) == 1


def keys_in(head: bytes) -> list[bytes]:
    lines = head.split(b"\r\n")
    return [line for line in lines if line.lower().startswith(b"idempotency-key:")]


async def test_two_writes_have_two_keys() -> None:
    http, requests = answers(pong(401), pong(401))
    async with NanobananaClient("http://server", http=http) as client:
        for _ in range(2):
            with pytest.raises(ApiError):
                await client.trash.restore("id")
    first, second = (request.headers["Idempotency-Key"] for request in requests)
    assert first != second


@pytest.mark.parametrize("refusal", [pong(503), pong(429, Retry_After="0"), pong(409, Retry_After="0")])
async def test_what_may_pass_is_tried_again(refusal: httpx.Response) -> None:
    http, requests = answers(refusal, httpx.Response(200, json={"stats": {}, "user": {}, "devices": []}))
    async with NanobananaClient("http://server", http=http, backoff=QUICK) as client:
        assert await client.accounts.devices() == []
    assert len(requests) == 2


@pytest.mark.parametrize("refusal", [pong(400), pong(409), pong(500), pong(429, Retry_After="900")])
async def test_what_will_not_pass_is_not(refusal: httpx.Response) -> None:
    http, requests = answers(refusal)
    async with NanobananaClient("http://server", http=http, backoff=QUICK) as client:
        with pytest.raises(ApiError) as refused:
            await client.accounts.devices()
    assert refused.value.status == refusal.status_code
    assert len(requests) == 1


async def test_it_waits_as_long_as_the_server_asks() -> None:
    http, _ = answers(pong(429, Retry_After="1"), httpx.Response(200, json={"devices": []}))
    async with NanobananaClient("http://server", http=http, backoff=QUICK) as client:
        began = asyncio.get_running_loop().time()
        await client.accounts.devices()
    assert asyncio.get_running_loop().time() - began >= 1


async def test_a_file_is_sent_again_byte_for_byte() -> None:
    http, requests = answers(pong(503), pong(400))
    async with NanobananaClient("http://server", http=http, backoff=QUICK) as client:
        with pytest.raises(ApiError):
            await client.images.upload("id", b"a picture")
    first, second = requests
    assert first.content == second.content
    assert b"a picture" in first.content
