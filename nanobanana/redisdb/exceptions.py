"""What the Redis layer raises.

RedisDBError
├── DoesNotExist        the object is absent (or not this owner's)
├── CommitRefused       an expectation of a unit of work did not hold; nothing was written
├── OperationMismatch   the operation id was used by a different operation
└── FieldError          a value does not fit its field
"""

from redis.exceptions import ResponseError


class RedisDBError(Exception):
    """The base of them all."""


class DoesNotExist(RedisDBError):
    """The object is absent, or another owner's, which looks the same."""


class CommitRefused(RedisDBError):
    """An expectation of a unit of work did not hold; nothing was written."""


class OperationMismatch(RedisDBError):
    """The operation id was used before, by a different operation."""


class FieldError(RedisDBError, ValueError):
    """A value does not fit its field, or what Redis holds is not what the field wrote."""


def says_wrong_type(error: ResponseError) -> bool:
    """Whether Redis refused because a key holds something of another kind than the command is for."""
    return "WRONGTYPE" in str(error)
