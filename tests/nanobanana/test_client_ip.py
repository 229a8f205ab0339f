"""Who the caller is: the peer, or what a proxy of ours says; never what the caller says."""

from typing import Any

import httpx
import pytest
from django.http import HttpRequest

from nanobanana.redisdb.client import get_client
from nanobanana.throttling import HOPS, client_ip, site_of
from tests.support.limits import new_ip, set_limits, trust
from tests.support.web_server import WebServer

PROXY, OTHER_PROXY, STRANGER = "10.0.0.1", "192.168.7.7", "198.51.100.4"
OURS = (PROXY, "192.168.0.0/16", "fd00::/8")


def request_from(peer: str, forwarded: str | None = None) -> HttpRequest:
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = peer
    if forwarded is not None:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    return request


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        (STRANGER, None, STRANGER),
        (STRANGER, "1.2.3.4", STRANGER),
        (STRANGER, f"1.2.3.4, {PROXY}", STRANGER),
        (PROXY, None, PROXY),
        (PROXY, STRANGER, STRANGER),
        (PROXY, f"1.2.3.4,{STRANGER}", STRANGER),
        (PROXY, f"1.2.3.4, {STRANGER} , {OTHER_PROXY}", STRANGER),
        (PROXY, f"{OTHER_PROXY}, {PROXY}", OTHER_PROXY),
        (PROXY, "", PROXY),
        (PROXY, "nonsense", PROXY),
        (PROXY, f"1.2.3.4, nonsense, {OTHER_PROXY}", OTHER_PROXY),
        (PROXY, "1.2.3.4, ", PROXY),
        (PROXY, "1.2.3.4:80", PROXY),
        (PROXY, "127.1", PROXY),
        (PROXY, "2001:DB8::0:1", "2001:db8::1"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
        (f"::ffff:{PROXY}", f"::ffff:{STRANGER}", STRANGER),
        ("", "1.2.3.4", ""),
        (PROXY, "\u0661.2.3.4", PROXY),
    ],
)
def test_the_right_most_address_that_is_no_proxy_of_ours_counts(
    peer: str, forwarded: str | None, client: str, settings: Any
) -> None:
    trust(settings, *OURS)
    assert client_ip(request_from(peer, forwarded)) == client


def test_only_so_many_hops_are_looked_at(settings: Any) -> None:
    trust(settings, *OURS)
    forwarded = ",".join([STRANGER, *[OTHER_PROXY] * 60_000])
    assert client_ip(request_from(PROXY, forwarded)) == OTHER_PROXY
    assert client_ip(request_from(PROXY, ",".join([STRANGER, *[OTHER_PROXY] * HOPS]))) == STRANGER


def test_without_proxies_nobody_is_believed(settings: Any) -> None:
    trust(settings)
    assert client_ip(request_from("127.0.0.1", "1.2.3.4")) == "127.0.0.1"


def test_who_has_a_network_of_addresses_is_one_caller() -> None:
    assert site_of("2001:db8:1:2:3::4") == site_of("2001:db8:1:2::5") == "2001:db8:1:2::/64"
    assert site_of("2001:db8:1:3::4") != site_of("2001:db8:1:2::4")
    assert (site_of("198.51.100.4"), site_of("")) == ("198.51.100.4", "")


@pytest.fixture
async def visitor(server: WebServer, settings: Any) -> Any:
    """Tries to sign in from an address it claims, with two tries an address."""
    set_limits(settings, sign_ins=2)
    async with httpx.AsyncClient(base_url=server.url) as client:

        async def sign_in(claimed: str) -> int:
            headers = {"X-Forwarded-For": claimed}
            return (await client.post("/api/auth/login", json={}, headers=headers)).status_code

        yield sign_in
    await get_client().delete("nb:limit:127.0.0.1:sign-ins")


async def test_a_stranger_who_forges_addresses_has_one_budget(visitor: Any, settings: Any) -> None:
    trust(settings, "10.0.0.0/8")
    assert [await visitor(new_ip()) for _ in range(4)] == [400, 400, 429, 429]


async def test_behind_a_proxy_of_ours_each_address_has_its_budget(visitor: Any, settings: Any) -> None:
    trust(settings, "127.0.0.1")
    ann, bea = new_ip(), new_ip()
    assert [await visitor(ip) for ip in (ann, ann, ann, bea)] == [400, 400, 429, 400]
    assert [await visitor(f"{new_ip()}, {ip}") for ip in (ann, bea, bea)] == [429, 400, 429]
