"""The account, its devices and its tokens. What signs in or out keeps or forgets the tokens by itself."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from nanobanana_client.api.resource import Resource
from nanobanana_client.decoding import decode
from nanobanana_client.errors import ApiError
from nanobanana_client.models import Device, Ticket, Usage, User
from nanobanana_client.tokens import Tokens


class Accounts(Resource):
    async def register(self, *, email: str, username: str, password: str) -> User:
        body = {"email": email, "username": username, "password": password}
        return await self._sign_in("/api/auth/register", body)

    async def login(self, *, email: str, password: str) -> User:
        return await self._sign_in("/api/auth/login", {"email": email, "password": password})

    async def refresh(self) -> str | None:
        """A new token at once; calls do it by themselves when theirs is refused. None: signed out."""
        tokens = await self._transport.store.load()
        return await self._transport.renew(tokens.token) if tokens else None

    async def me(self) -> User:
        return decode(User, (await self._get("/api/auth/me"))["user"])

    async def usage(self) -> Usage:
        """How much there is, and may be."""
        return decode(Usage, (await self._get("/api/auth/me/usage"))["usage"])

    async def update(self, *, idempotency_key: str | None = None, **changes: Any) -> User:
        """`username` and `avatar`, an address or None; what is not named stays."""
        answer = await self._put("/api/auth/me", changes, idempotency_key=idempotency_key)
        return decode(User, answer["user"])

    async def delete(self, *, password: str) -> None:
        """The account and all it owns is gone."""
        await self._delete("/api/auth/me", json={"password": password})
        await self._transport.store.save(None)

    async def change_password(self, *, current_password: str, new_password: str) -> None:
        """Every other device is signed out."""
        body = {"currentPassword": current_password, "newPassword": new_password}
        await self._keep_tokens(await self._put("/api/auth/password", body))

    async def forgot_password(self, *, email: str) -> None:
        await self._post("/api/auth/password/forgot", {"email": email}, credentials="none")

    async def reset_password(self, *, token: str, password: str) -> None:
        """`token` is from the mailed link; every device is signed out."""
        body = {"token": token, "password": password}
        await self._post("/api/auth/password/reset", body, credentials="none")

    async def verify_email(self, *, token: str) -> User:
        answer = await self._post("/api/auth/verify", {"token": token}, credentials="none")
        return decode(User, answer["user"])

    async def resend_verification(self) -> None:
        await self._post("/api/auth/verify/resend")

    async def logout(self) -> None:
        await self._sign_out("/api/auth/logout")

    async def logout_all(self) -> None:
        """On all devices, this one too."""
        await self._sign_out("/api/auth/logout-all")

    async def devices(self) -> Sequence[Device]:
        return [decode(Device, device) for device in (await self._get("/api/auth/devices"))["devices"]]

    async def sign_out_device(self, device_id: str) -> None:
        await self._delete(f"/api/auth/devices/{device_id}")

    async def socket_ticket(self, **options: Any) -> Ticket:
        return decode(Ticket, await self._post("/api/auth/ws-ticket", keyed=False, **options))

    def export_zip(self) -> AsyncIterator[bytes]:
        """Everything of the account, as a zip in pieces."""
        return self._transport.stream("/api/auth/me/export")

    async def _sign_in(self, path: str, body: dict[str, str]) -> User:
        # A token that is still there tells the server that this device is known: strangers' wrong
        # passwords then do not keep it waiting.
        answer = await self._post(path, body, credentials="if there")
        await self._keep_tokens(answer)
        return decode(User, answer["user"])

    async def _sign_out(self, path: str) -> None:
        try:
            await self._post(path)
        except ApiError as error:
            if error.status != 401:  # it is signed out already, perhaps by the attempt before
                raise
        await self._transport.store.save(None)

    async def _keep_tokens(self, answer: dict[str, Any]) -> None:
        await self._transport.store.save(Tokens.of(answer))
