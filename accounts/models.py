"""Users and their devices."""

from accounts.managers import DEVICE_LIFE, DeviceManager, PasswordManager, UserManager
from nanobanana.redisdb.event_log import Cursor
from nanobanana.redisdb.fields import BooleanField, DateTimeField, Nullable, TextField, now
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.models import Model


class User(Model):
    """A person; the id is also the owner's id of everything the person has."""

    kind = "user"
    email = TextField()
    username = TextField()
    avatar = Nullable(TextField())
    email_verified = BooleanField(default=False)
    is_active = BooleanField(default=True)
    created_at = DateTimeField(default=now)
    updated_at = DateTimeField(default=now)
    last_login_at = Nullable(DateTimeField())

    objects = UserManager()

    cursor: Cursor | None = None  # where the log stands after the latest change made with this instance


class Password(Model):
    """The hash of a password, under its user's id; apart from the user, so that no event carries it."""

    kind = "password"
    encoded = TextField()

    objects = PasswordManager()


class Device(Model):
    """One sign-in: every token names its device, and dies with it.

    So a device is also the family of its refresh tokens, of which the one named `refresh_id` is good.
    """

    kind = "device"
    name = TextField(default="")
    ip = TextField(default="")
    created_at = DateTimeField(default=now)
    last_seen_at = DateTimeField(default=now)
    renewed_at = DateTimeField(default=now)  # the latest sign-in or refresh, from which its life counts
    refresh_id = TextField(default=new_id)
    previous_refresh_id = TextField(default="")
    rotated_at = Nullable(DateTimeField())  # when `refresh_id` took the place of the previous one

    indexes = (Index("devices", score="renewed_at"),)
    life = DEVICE_LIFE
    objects = DeviceManager()
