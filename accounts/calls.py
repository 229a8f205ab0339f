"""What the schema says of `/api/auth`."""

from rest_framework import serializers

from accounts.serializers import (
    DeleteAccountSerializer,
    DeviceSerializer,
    ForgottenSerializer,
    LinkSerializer,
    LogInSerializer,
    PasswordSerializer,
    ProfileSerializer,
    RefreshSerializer,
    RegisterSerializer,
    ResetSerializer,
    UserSerializer,
)
from nanobanana.calls import Call, Fields, sentence
from nanobanana.errors import CredentialsWrong, EmailTaken, TokenInvalid, Unauthorized


def _user() -> Fields:
    return {"user": UserSerializer(help_text="The account.")}


def _tokens(*, required: bool = True) -> Fields:
    return {
        "token": serializers.CharField(help_text="The access token: `Authorization: Bearer <token>`."),
        "refreshToken": serializers.CharField(required=required, help_text="Good for one refresh."),
        "expiresIn": serializers.IntegerField(
            required=required, min_value=1, help_text="Seconds that the access token is good for."
        ),
    }


SIGN_IN = {
    "register": Call(
        "Register",
        {**sentence(), **_user(), **_tokens()},
        "Makes an account and signs its first device in.",
        status=201,
        body=RegisterSerializer,
        errors=(EmailTaken,),
    ),
    "log_in": Call(
        "Sign in",
        {**sentence(), **_user(), **_tokens()},
        "A token of a device of the account keeps the failures of others from counting against it.",
        body=LogInSerializer,
        knows_token=True,
        errors=(CredentialsWrong,),
    ),
    "refresh": Call(
        "Renew tokens",
        {**sentence(), **_tokens(required=False)},
        "With a refresh token in the body, new ones of both kinds; with an access token and no body, a new "
        "one of that kind. A refresh token is good once: shown again, it signs its device out.",
        body=RefreshSerializer,
        knows_token=True,
        errors=(Unauthorized, TokenInvalid),
    ),
}

RECOVERY = {
    "forgot_password": Call(
        "Ask for a mail to reset the password",
        sentence(),
        "The answer does not tell whether there is an account.",
        body=ForgottenSerializer,
    ),
    "reset_password": Call(
        "Reset the password",
        sentence(),
        "By the link of a mail; all devices are signed out.",
        body=ResetSerializer,
    ),
    "verify_email": Call(
        "Verify the address", {**sentence(), **_user()}, "By the link of a mail.", body=LinkSerializer
    ),
}

ACCOUNT = {
    "retrieve": Call("Read the profile", _user()),
    "update": Call("Change the profile", {**sentence(), **_user()}, body=ProfileSerializer),
    "destroy": Call(
        "Delete the account",
        sentence(),
        "And all it owns.",
        body=DeleteAccountSerializer,
        errors=(CredentialsWrong,),
    ),
    "change_password": Call(
        "Change the password",
        {**sentence(), **_tokens()},
        "Every other device is signed out.",
        body=PasswordSerializer,
        errors=(CredentialsWrong,),
    ),
    "send_verification_again": Call("Ask for another mail to verify the address", sentence()),
    "log_out": Call("Sign out", sentence(), "The tokens and sockets of this device end."),
    "log_out_everywhere": Call("Sign out on all devices", sentence()),
    "make_ticket": Call(
        "Make a ticket for a socket",
        {
            "ticket": serializers.CharField(help_text="Opens one socket, in place of a token."),
            "expiresIn": serializers.IntegerField(min_value=1, help_text="Seconds it is good for."),
        },
    ),
}

DEVICES = {
    "list": Call(
        "List devices",
        {"devices": DeviceSerializer(many=True, help_text="The latest sign-in or refresh first.")},
    ),
    "destroy": Call("Sign a device out", sentence(), "Its tokens and sockets end."),
}
