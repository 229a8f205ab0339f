"""What accounts accept, and how a user is answered."""

from typing import Any

from rest_framework import serializers

from accounts.models import User
from accounts.services import normalized_email
from nanobanana.serializers import TextField, timestamp

LONGEST_ADDRESS = 254


class EmailField(serializers.EmailField):
    """An address in the form it is stored in: what is checked is what is kept."""

    def __init__(self) -> None:
        super().__init__(max_length=LONGEST_ADDRESS)

    def to_internal_value(self, data: Any) -> str:
        address = super().to_internal_value(data)
        if len(address) > LONGEST_ADDRESS:  # normalizing takes quadratic time: minutes for a megabyte
            self.fail("max_length", max_length=LONGEST_ADDRESS)
        return normalized_email(address)


class RegisterSerializer(serializers.Serializer):
    email = EmailField()
    username = TextField(min_length=3, max_length=30, trim_whitespace=True)
    password = TextField(min_length=8, max_length=128)


class LogInSerializer(serializers.Serializer):
    email = EmailField()
    password = TextField(max_length=128)


class ProfileSerializer(serializers.Serializer):
    username = TextField(min_length=3, max_length=30, trim_whitespace=True, required=False)
    avatar = serializers.URLField(max_length=2048, allow_null=True, required=False)


class PasswordSerializer(serializers.Serializer):
    currentPassword = TextField(max_length=128)
    newPassword = TextField(min_length=8, max_length=128)


class RefreshSerializer(serializers.Serializer):
    refreshToken = TextField(required=False, max_length=4096)


class DeleteAccountSerializer(serializers.Serializer):
    password = TextField(max_length=128)


def render_user(user: User) -> dict[str, Any]:
    """The seed's User; never the password."""
    return {
        "id": user.id,
        "email": user.email,
        "username": user.username,
        "avatar": user.avatar,
        "createdAt": timestamp(user.created_at),
        "updatedAt": timestamp(user.updated_at),
        "lastLoginAt": timestamp(user.last_login_at),
        "isActive": user.is_active,
    }
