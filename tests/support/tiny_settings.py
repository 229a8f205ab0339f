"""The project's settings for `tiny_asgi`, without the applications and their routes."""

from nanobanana.settings import *  # noqa: F403

INSTALLED_APPS = ["nanobanana"]
ROOT_URLCONF = __name__
urlpatterns: list[object] = []
