"""How the server is."""

from nanobanana_client.api.resource import Resource
from nanobanana_client.decoding import decode
from nanobanana_client.models import Health as Report

UNAVAILABLE = 503


class Health(Resource):
    async def check(self) -> Report:
        """Also when a service it needs is down: `status` says it."""
        answer = await self._transport.call(
            "GET", "/health", credentials="none", retries=0, also_right=UNAVAILABLE
        )
        return decode(Report, answer.body)
