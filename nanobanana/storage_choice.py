"""Where pictures are kept, given that a template's credentials name no real cloud."""

from nanobanana import env

CREDENTIALS = {
    "aws": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "aliyun": ("ALIYUN_ACCESS_KEY_ID", "ALIYUN_ACCESS_KEY_SECRET"),
}
PLACES = {"aws": ("AWS_S3_BUCKET",), "aliyun": ("ALIYUN_REGION", "ALIYUN_BUCKET")}
FIND_THEIR_OWN = {"aws"}  # without any credentials of ours, the SDK looks for those of the machine's role


def requested_storage() -> str:
    return env.choice("STORAGE_TYPE", "local", ("local", *CREDENTIALS))


def storage_type() -> str:
    """The storage asked for; `local` when that is a cloud of which something is missing."""
    requested = requested_storage()
    return "local" if missing_variables(requested) else requested


def missing_variables(storage: str) -> list[str]:
    """What has to be set before `storage` can be used, in the order of the documentation."""
    if storage == "local":
        return []
    credentials = [name for name in CREDENTIALS[storage] if not _is_real(env.secret(name))]
    if relies_on_a_role(storage):
        credentials = []
    return credentials + [name for name in PLACES[storage] if not _is_real(env.text(name))]


def relies_on_a_role(storage: str) -> bool:
    """Whether the SDK has to find credentials by itself."""
    return storage in FIND_THEIR_OWN and not any(env.secret(name) for name in CREDENTIALS[storage])


def _is_real(value: str) -> bool:
    """Whether a value is other than a template's, such as `your-aws-access-key`."""
    return bool(value) and not value.startswith("your-")
