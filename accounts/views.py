"""`/api/auth`: coming in, the profile, leaving."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts.calls import ACCOUNT, DEVICES, RECOVERY, SIGN_IN
from accounts.managers import TICKET_LIFE
from accounts.serializers import (
    DeleteAccountSerializer,
    ForgottenSerializer,
    LinkSerializer,
    LogInSerializer,
    PasswordSerializer,
    ProfileSerializer,
    RefreshSerializer,
    RegisterSerializer,
    ResetSerializer,
    render_device,
    render_user,
)
from accounts.services import access, deletion, devices, profile, recovery, sign_ins
from accounts.user_agents import readable_name
from accounts.viewsets import SignedInViewSet, StrangerViewSet, bearer_token
from nanobanana import throttling
from nanobanana.errors import Unauthorized
from nanobanana.metrics import SIGN_INS, counted
from nanobanana.throttling import client_ip


class SignInViewSet(StrangerViewSet):
    """Calls that give tokens."""

    calls = SIGN_IN
    budgets = dict.fromkeys(("register", "log_in", "refresh"), throttling.SIGN_INS)

    async def register(self) -> HttpResponse:
        fields = self.body(RegisterSerializer)
        with counted(SIGN_INS, how="registration"):
            sign_in = await sign_ins.register(**fields, **device_of(self.request))
        return self.answer(
            {"message": "Account created.", "user": render_user(sign_in.user), **tokens_of(sign_in)}, 201
        )

    async def log_in(self) -> HttpResponse:
        fields = self.body(LogInSerializer)
        device = device_of(self.request)
        with counted(SIGN_INS, how="password"):
            sign_in = await sign_ins.log_in(**fields, **device, shown_token=shown_token(self.request))
        return self.answer({"message": "Signed in.", "user": render_user(sign_in.user), **tokens_of(sign_in)})

    async def refresh(self) -> HttpResponse:
        """With a refresh token in the body, or, as the seed's clients do it, a Bearer access token alone."""
        refresh_token = self.body(RefreshSerializer).get("refreshToken")
        if refresh_token:
            with counted(SIGN_INS, how="refresh"):
                sign_in = await sign_ins.refresh(refresh_token=refresh_token)
            return self.answer({"message": "Tokens renewed.", **tokens_of(sign_in)})
        visitor = await access.authenticate(bearer_token(self.request.META.get("HTTP_AUTHORIZATION", "")))
        token = await sign_ins.renew(visitor=visitor)
        return self.answer({"message": "Token renewed.", "token": token})


class RecoveryViewSet(StrangerViewSet):
    """The links of mails."""

    calls = RECOVERY
    budgets = dict.fromkeys(("forgot_password", "reset_password", "verify_email"), throttling.SIGN_INS)

    async def forgot_password(self) -> HttpResponse:
        """The answer does not tell whether there is an account."""
        await recovery.send_reset(**self.body(ForgottenSerializer))
        return self.answer({"message": "If there is an account with this address, a mail is on its way."})

    async def reset_password(self) -> HttpResponse:
        await recovery.reset_password(**self.body(ResetSerializer))
        return self.answer({"message": "The password is changed; sign in with it."})

    async def verify_email(self) -> HttpResponse:
        user = await recovery.verify_email(**self.body(LinkSerializer))
        return self.answer({"message": "The address is confirmed.", "user": render_user(user)})


class AccountViewSet(SignedInViewSet):
    """The signed-in account."""

    calls = ACCOUNT

    @property
    def credentials(self) -> str:
        return self.visitor.device_id  # what is done to one device is not done to another

    async def retrieve(self) -> HttpResponse:
        return self.answer({"user": render_user(self.user)})

    async def update(self) -> HttpResponse:
        changes = self.body(ProfileSerializer)
        user = await profile.update_profile(user=self.user, changes=changes, operation=self.operation())
        return self.answer({"message": "Profile updated.", "user": render_user(user)})

    async def destroy(self) -> HttpResponse:
        fields = self.body(DeleteAccountSerializer)
        await deletion.delete_account(visitor=self.visitor, **fields, ip=client_ip(self.request))
        return self.answer({"message": "The account and all it owned is gone."})

    async def change_password(self) -> HttpResponse:
        fields = self.body(PasswordSerializer)
        sign_in = await profile.change_password(
            visitor=self.visitor,
            current_password=fields["currentPassword"],
            new_password=fields["newPassword"],
            ip=client_ip(self.request),
        )
        return self.answer(
            {"message": "Password changed; other devices are signed out.", **tokens_of(sign_in)}
        )

    async def send_verification_again(self) -> HttpResponse:
        await recovery.send_verification_again(user=self.user)
        return self.answer({"message": "Unless the address is confirmed already, a mail is on its way."})

    async def log_out(self) -> HttpResponse:
        await devices.log_out(visitor=self.visitor)
        return self.answer({"message": "Signed out."})

    async def log_out_everywhere(self) -> HttpResponse:
        await devices.sign_out_everywhere(user_id=self.user.id)
        return self.answer({"message": "Signed out on all devices."})

    async def make_ticket(self) -> HttpResponse:
        ticket = await access.make_ticket(visitor=self.visitor)
        return self.answer({"ticket": ticket, "expiresIn": TICKET_LIFE})


class DeviceViewSet(SignedInViewSet):
    """Where the account is signed in."""

    calls = DEVICES

    async def list(self) -> HttpResponse:
        found = await devices.list_devices(user=self.user)
        current_id = self.visitor.device_id
        return self.answer({"devices": [render_device(device, current_id=current_id) for device in found]})

    async def destroy(self, device_id: str) -> HttpResponse:
        await devices.sign_out_device(user=self.user, device_id=device_id, operation=self.operation())
        return self.answer({"message": "The device is signed out."})


def tokens_of(sign_in: sign_ins.SignIn) -> dict[str, Any]:
    return {"token": sign_in.token, "refreshToken": sign_in.refresh_token, "expiresIn": sign_in.expires_in}


def device_of(request: HttpRequest) -> dict[str, str]:
    """What a device is known by: its user agent and address."""
    agent = request.META.get("HTTP_USER_AGENT", "")
    return {"device_name": readable_name(agent), "ip": client_ip(request)}


def shown_token(request: HttpRequest) -> str | None:
    """The token of a caller who need not have one."""
    try:
        return bearer_token(request.META.get("HTTP_AUTHORIZATION", ""))
    except Unauthorized:
        return None
