"""Where pictures are kept, given that a template's credentials name no real cloud."""

from nanobanana import env

CREDENTIALS = {
    "aws": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "aliyun": ("ALIYUN_ACCESS_KEY_ID", "ALIYUN_ACCESS_KEY_SECRET"),
}


def requested_storage() -> str:
    return env.choice("STORAGE_TYPE", "local", ("local", *CREDENTIALS))


def has_credentials(cloud: str) -> bool:
    """Whether the environment holds credentials other than a template's, such as `your-aws-access-key`."""
    values = [env.secret(name) for name in CREDENTIALS[cloud]]
    return all(value and not value.startswith("your-") for value in values)


def storage_type() -> str:
    """The storage asked for; `local` when that is a cloud without credentials."""
    requested = requested_storage()
    return requested if requested == "local" or has_credentials(requested) else "local"
