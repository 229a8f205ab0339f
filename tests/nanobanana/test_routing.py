"""The tree of addresses finds what Django's resolver finds."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.urls import get_resolver, path, re_path
from django.urls.exceptions import Resolver404

from nanobanana.routing import ARGUMENT, Routes, declared


async def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


ROUTES = Routes(get_resolver().url_patterns)
DECLARED = [route for route, _ in declared(get_resolver().url_patterns)]
FILLED = [f"/{ARGUMENT.sub('some-id', route)}" for route in DECLARED]
ODD = [
    "*",
    "",
    "/",
    "//",
    "/api",
    "/api/",
    "api/auth/me",
    "//api/auth/me",
    "/api//auth/me",
    "/api/auth/me/",
    "/api/auth/me\n",
    "/api/sessions/",
    "/api/sessions//messages",
    "/api/sessions/trash/messages",
    "/api/sessions/import/stats",
    "/api/messages/a\nb/images",
    "/api/images/session",
    "/api/images/session/x/content",
    "/api/images/upload/content",
    "/api/images/user/content",
    "/api/images/<str:image_id>",
    "/API/AUTH/ME",
    "/ws/x",
]


@pytest.mark.parametrize("address", [*FILLED, *[f"{each}/" for each in FILLED], *ODD])
def test_an_address_has_the_view_and_arguments_that_django_finds(address: str) -> None:
    match = ROUTES.find(address)
    try:
        expected = get_resolver().resolve(address)
    except Resolver404:  # Django looks at no address without a slash at its beginning
        assert match.route == ""
    else:
        assert (match.route, match.view, match.arguments) == (
            expected.route,
            expected.func,
            expected.kwargs,
        )


def test_what_may_be_anything_is_left_again_when_it_leads_nowhere() -> None:
    routes = Routes(
        [path("a/b/c", view), path("a/<str:x>/d", view), path("<y>/b/<z>", view), re_path("", view)]
    )
    assert routes.find("/a/b/d")[::2] == ("a/<str:x>/d", {"x": "b"})
    assert routes.find("/a/b/e")[::2] == ("<y>/b/<z>", {"y": "a", "z": "e"})
    assert routes.find("/a/e/e")[::2] == ("", {})


def test_a_pattern_that_the_tree_cannot_hold_is_refused_at_once() -> None:
    for pattern in (path("a/<int:x>", view), path("a/x<str:y>", view), re_path(r"^a/(\d+)$", view)):
        with pytest.raises(ImproperlyConfigured, match="is no path"):
            Routes([pattern])
