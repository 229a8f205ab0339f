"""What accounts accept, and how users and devices are answered."""

from typing import Any

from rest_framework import serializers

from accounts.models import Device, User
from accounts.passwords import LONGEST, LONGEST_TYPED, SHORTEST, normalized
from accounts.services.access import normalized_email
from nanobanana.serializers import PRINTABLE, IdField, MomentField, TextField, timestamp

LONGEST_ADDRESS = 254
DISPLAY_NAME = "A name to show; it need not be unique."
AVATAR = "The address of a picture."


class EmailField(serializers.EmailField):
    """An address in the form it is stored in: what is checked is what is kept."""

    def __init__(self) -> None:
        super().__init__(max_length=LONGEST_ADDRESS, help_text="Case does not matter.")

    def to_internal_value(self, data: Any) -> str:
        address = super().to_internal_value(data)
        if len(address) > LONGEST_ADDRESS:  # normalizing takes quadratic time: minutes for a megabyte
            self.fail("max_length", max_length=LONGEST_ADDRESS)
        return normalized_email(address)


class PasswordField(TextField):
    """A password as it was typed; what is checked is the form in which it is compared."""

    def __init__(self, *, min_length: int | None = None) -> None:
        super().__init__(min_length=min_length, max_length=LONGEST, help_text="Characters of any script.")

    def to_internal_value(self, data: Any) -> str:
        password = super().to_internal_value(data)
        if len(password) > LONGEST_TYPED:
            self.fail("max_length", max_length=LONGEST)
        return password

    def run_validators(self, value: str) -> None:
        super().run_validators(normalized(value))


class NameField(TextField):
    """A name as it is shown to others, without characters that change how what stands around it looks."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_length=3, max_length=30, trim_whitespace=True, help_text=DISPLAY_NAME, **options)
        self.validators.append(PRINTABLE)


class RegisterSerializer(serializers.Serializer):
    email = EmailField()
    username = NameField()
    password = PasswordField(min_length=SHORTEST)


class LogInSerializer(serializers.Serializer):
    email = EmailField()
    password = PasswordField()


class ForgottenSerializer(serializers.Serializer):
    email = EmailField()


class LinkSerializer(serializers.Serializer):
    token = TextField(max_length=128, help_text="The `token` of the link in the mail.")


class NewPasswordSerializer(serializers.Serializer):
    password = PasswordField(min_length=SHORTEST)


class ResetSerializer(LinkSerializer, NewPasswordSerializer):
    pass


class ProfileSerializer(serializers.Serializer):
    username = NameField(required=False)
    avatar = serializers.URLField(max_length=2048, allow_null=True, required=False, help_text=AVATAR)


class PasswordSerializer(serializers.Serializer):
    currentPassword = PasswordField()
    newPassword = PasswordField(min_length=SHORTEST)


class RefreshSerializer(serializers.Serializer):
    refreshToken = TextField(required=False, max_length=4096, help_text="Good for one refresh.")


class DeleteAccountSerializer(serializers.Serializer):
    password = PasswordField()


class UserSerializer(serializers.Serializer):
    id = IdField(help_text="The user's id.")
    email = serializers.EmailField(help_text="The address in its normal form.")
    emailVerified = serializers.BooleanField(help_text="Whether the user has shown to read its mails.")
    username = serializers.CharField(help_text=DISPLAY_NAME)
    avatar = serializers.CharField(allow_null=True, help_text=AVATAR)
    createdAt = MomentField(help_text="When the account was made.")
    updatedAt = MomentField(help_text="When the account was last changed.")
    lastLoginAt = MomentField(allow_null=True, help_text="The latest sign-in.")
    isActive = serializers.BooleanField(help_text="Whether the user may sign in.")


class DeviceSerializer(serializers.Serializer):
    id = IdField(help_text="The device's id.")
    name = serializers.CharField(allow_blank=True, help_text="Browser and system, after the user agent.")
    ip = serializers.CharField(allow_blank=True, help_text="The address it signed in from.")
    createdAt = MomentField(help_text="When it signed in.")
    lastSeenAt = MomentField(help_text="When it made a request, to five minutes.")
    current = serializers.BooleanField(help_text="Whether it is the device that asks.")


def render_user(user: User) -> dict[str, Any]:
    """The seed's User; never the password."""
    return {
        "id": user.id,
        "email": user.email,
        "emailVerified": user.email_verified,
        "username": user.username,
        "avatar": user.avatar,
        "createdAt": timestamp(user.created_at),
        "updatedAt": timestamp(user.updated_at),
        "lastLoginAt": timestamp(user.last_login_at),
        "isActive": user.is_active,
    }


def render_device(device: Device, *, current_id: str) -> dict[str, Any]:
    """A sign-in; `current` is the one that asks."""
    return {
        "id": device.id,
        "name": device.name,
        "ip": device.ip,
        "createdAt": timestamp(device.created_at),
        "lastSeenAt": timestamp(device.last_seen_at),
        "current": device.id == current_id,
    }
