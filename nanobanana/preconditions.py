"""Conditions a request sets: `If-Match` and `If-None-Match` (RFC 9110, 13.1), and the ETags they name."""

import re

from django.utils.http import parse_etags

from nanobanana.errors import ValidationFailed

ENTITY_TAG = r'(?:W/)?"[!#-~]*"'
IF_MATCH = rf"\*|{ENTITY_TAG}(?:[ \t]*,[ \t]*{ENTITY_TAG})*"
REVISION = re.compile(r'"(0|[1-9][0-9]{0,14})"')  # a weak tag matches nothing


def etag_of(revision: int) -> str:
    return f'"{revision}"'


def revisions_named(if_match: str | None) -> frozenset[int] | None:
    """The revisions that the header `If-Match` allows; None when any will do. Tags of others are none."""
    if if_match is None or if_match == "*":
        return None
    if not re.fullmatch(IF_MATCH, if_match):
        raise ValidationFailed(details={"If-Match": ['This must be * or ETags in quotes, such as "3".']})
    tags = re.findall(ENTITY_TAG, if_match)
    return frozenset(int(match[1]) for tag in tags if (match := REVISION.fullmatch(tag)))


def is_unchanged(if_none_match: str, etag: str) -> bool:
    """Whether the client's copy is still good, by weak comparison with each tag it names."""
    known = parse_etags(if_none_match)
    return known == ["*"] or etag in [tag.removeprefix("W/") for tag in known]
