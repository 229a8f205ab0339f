"""`/api/auth`: coming in, the profile, leaving."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts import services, tokens
from accounts.managers import TICKET_LIFE
from accounts.serializers import (
    DeleteAccountSerializer,
    LogInSerializer,
    PasswordSerializer,
    ProfileSerializer,
    RefreshSerializer,
    RegisterSerializer,
    render_user,
)
from accounts.viewsets import SignedInViewSet, bearer_token
from nanobanana.viewsets import ViewSet

DEVICE_NAME = 200  # characters of the user agent that are kept


class SignInViewSet(ViewSet):
    """Calls that give tokens."""

    async def register(self) -> HttpResponse:
        fields = self.body(RegisterSerializer)
        sign_in = await services.register(**fields, **device_of(self.request))
        return self.answer(
            {"message": "Account created.", "user": render_user(sign_in.user), **tokens_of(sign_in)}, 201
        )

    async def log_in(self) -> HttpResponse:
        fields = self.body(LogInSerializer)
        sign_in = await services.log_in(**fields, **device_of(self.request))
        return self.answer({"message": "Signed in.", "user": render_user(sign_in.user), **tokens_of(sign_in)})

    async def refresh(self) -> HttpResponse:
        """With a refresh token in the body, or, as the seed's clients do it, a Bearer access token alone."""
        refresh_token = self.body(RefreshSerializer).get("refreshToken")
        if refresh_token:
            sign_in = await services.refresh(refresh_token=refresh_token)
            return self.answer({"message": "Tokens renewed.", **tokens_of(sign_in)})
        visitor = await services.authenticate(bearer_token(self.request))
        token = tokens.access_token(visitor.user.id, visitor.device_id)
        return self.answer({"message": "Token renewed.", "token": token})


class AccountViewSet(SignedInViewSet):
    """The signed-in account."""

    async def retrieve(self) -> HttpResponse:
        return self.answer({"user": render_user(self.user)})

    async def update(self) -> HttpResponse:
        changes = self.body(ProfileSerializer)
        user = await services.update_profile(user=self.user, changes=changes, operation=self.operation())
        return self.answer({"message": "Profile updated.", "user": render_user(user)})

    async def destroy(self) -> HttpResponse:
        fields = self.body(DeleteAccountSerializer)
        await services.delete_account(visitor=self.visitor, **fields)
        return self.answer({"message": "The account and all it owned is gone."})

    async def change_password(self) -> HttpResponse:
        fields = self.body(PasswordSerializer)
        sign_in = await services.change_password(
            visitor=self.visitor,
            current_password=fields["currentPassword"],
            new_password=fields["newPassword"],
        )
        return self.answer(
            {"message": "Password changed; other devices are signed out.", **tokens_of(sign_in)}
        )

    async def log_out(self) -> HttpResponse:
        await services.log_out(visitor=self.visitor)
        return self.answer({"message": "Signed out."})

    async def make_ticket(self) -> HttpResponse:
        ticket = await services.make_ticket(visitor=self.visitor)
        return self.answer({"ticket": ticket, "expiresIn": TICKET_LIFE})


def tokens_of(sign_in: services.SignIn) -> dict[str, Any]:
    return {"token": sign_in.token, "refreshToken": sign_in.refresh_token, "expiresIn": sign_in.expires_in}


def device_of(request: HttpRequest) -> dict[str, str]:
    """What a device is known by: its user agent and address."""
    agent = request.META.get("HTTP_USER_AGENT", "")
    return {"device_name": agent[:DEVICE_NAME], "ip": request.META.get("REMOTE_ADDR", "")}
