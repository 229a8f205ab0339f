import base64
import hashlib
import hmac
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from media_store.links import LinkSigner, media_url, verify
from nanobanana.errors import Forbidden

ALICE = "01JABCDEFGHJKMNPQRSTVWXYZA"
MALLORY = "01JABCDEFGHJKMNPQRSTVWXYZM"
IMAGE = "01JABCDEFGHJKMNPQRSTVWXYZ1"
OTHER_IMAGE = "01JABCDEFGHJKMNPQRSTVWXYZ2"
HOUR = 3600
DAY = 24 * HOUR
NOON = 1_790_000_000 // DAY * DAY + DAY / 2

SIGNER = LinkSigner(base_url="https://pictures.example", secret="a secret", life=DAY)


def query_of(url: str) -> tuple[str, str]:
    """The expiry and the signature as a server would read them."""
    query = parse_qs(urlsplit(url).query)
    return query["e"][0], query["s"][0]


EXPIRY, SIGNATURE = query_of(SIGNER.url(ALICE, IMAGE, "thumb", NOON))


def test_a_link_names_owner_picture_variant_and_expiry():
    url = urlsplit(SIGNER.url(ALICE, IMAGE, "thumb", NOON))
    assert (url.scheme, url.netloc) == ("https", "pictures.example")
    assert url.path == f"/media/{ALICE}/{IMAGE}/thumb"
    assert url.query == f"e={int(EXPIRY)}&s={SIGNATURE}"


def test_a_link_that_was_not_touched_is_good_until_its_expiry():
    for now in (NOON, int(EXPIRY) - 1):
        assert SIGNER.verify(ALICE, IMAGE, "thumb", EXPIRY, SIGNATURE, now) == int(EXPIRY)
    for now in (int(EXPIRY), int(EXPIRY) + DAY):
        with pytest.raises(Forbidden, match="expired"):
            SIGNER.verify(ALICE, IMAGE, "thumb", EXPIRY, SIGNATURE, now)


def test_the_signature_is_a_truncated_hmac_under_a_derived_key():
    key = hmac.new(b"a secret", b"nanobanana media links v1", hashlib.sha256).digest()
    signed = f"{ALICE}/{IMAGE}/thumb?e={EXPIRY}".encode()
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    assert base64.urlsafe_b64encode(digest[:16]).decode() == SIGNATURE + "=="


@pytest.mark.parametrize("what", range(5))
def test_a_change_of_any_part_is_refused(what):
    parts = [ALICE, IMAGE, "thumb", EXPIRY, SIGNATURE]
    parts[what] = [MALLORY, OTHER_IMAGE, "original", str(int(EXPIRY) + DAY), SIGNATURE[::-1]][what]
    with pytest.raises(Forbidden):
        SIGNER.verify(*parts, now=NOON)


@pytest.mark.parametrize(
    "signature", ["", "é" * 22, "\ud800", SIGNATURE[:-1], SIGNATURE + "==", "A" * 10_000]
)
def test_a_signature_of_nonsense_is_refused(signature):
    with pytest.raises(Forbidden):
        SIGNER.verify(ALICE, IMAGE, "thumb", EXPIRY, signature, NOON)


@pytest.mark.parametrize(
    "expiry",
    ["", "-1", "soon", "٣", "\ud800", f"+{EXPIRY}", f"0{EXPIRY}", f"{EXPIRY} ", f"{EXPIRY}.0", "9" * 5000],
)
def test_an_expiry_of_nonsense_is_refused(expiry):
    with pytest.raises(Forbidden):
        SIGNER.verify(ALICE, IMAGE, "thumb", expiry, SIGNATURE, NOON)


@given(st.lists(st.text(), min_size=5, max_size=5))
def test_no_garbage_is_let_in(parts):
    with pytest.raises(Forbidden):
        SIGNER.verify(*parts, now=NOON)


def test_parts_cannot_be_shifted_into_each_other():
    with pytest.raises(Forbidden):
        SIGNER.verify(ALICE, IMAGE, f"thumb?e={EXPIRY}", "", SIGNATURE, NOON)


def test_another_secret_makes_other_signatures():
    other = LinkSigner(base_url="https://pictures.example", secret="another secret", life=DAY)
    with pytest.raises(Forbidden):
        other.verify(ALICE, IMAGE, "thumb", EXPIRY, SIGNATURE, NOON)


def test_links_are_the_same_for_an_eighth_of_their_life():
    links = [SIGNER.url(ALICE, IMAGE, "thumb", NOON + second) for second in range(0, 3 * HOUR, 60)]
    assert set(links) == {links[0]}
    assert SIGNER.url(ALICE, IMAGE, "thumb", NOON + 3 * HOUR) != links[0]
    assert SIGNER.url(ALICE, IMAGE, "thumb", NOON - 1) != links[0]


@given(now=st.floats(0, 4e9), life=st.integers(1, 10 * 365 * DAY))
def test_every_link_lives_its_life_and_at_most_an_eighth_longer(now, life):
    expiry, _ = query_of(LinkSigner(base_url="", secret="a secret", life=life).url("u", "i", "thumb", now))
    assert life <= int(expiry) - now <= life + max(1, life / 8)


def test_the_server_signs_with_its_settings_as_they_are(settings):
    settings.PUBLIC_BASE_URL = "https://pictures.example.com"
    assert media_url(ALICE, IMAGE, "original").startswith("https://pictures.example.com/media/")


def test_the_server_signs_with_its_settings():
    url = media_url(ALICE, IMAGE, "original")
    assert url.startswith(f"{settings.PUBLIC_BASE_URL}/media/{ALICE}/{IMAGE}/original?")
    expiry = verify(ALICE, IMAGE, "original", *query_of(url))
    assert (
        verify(ALICE, IMAGE, "original", *query_of(url), now=expiry - settings.MEDIA_URL_EXPIRES_IN) == expiry
    )
    with pytest.raises(Forbidden):
        verify(ALICE, IMAGE, "original", *query_of(url), now=expiry)


def test_the_time_can_be_given():
    assert media_url(ALICE, IMAGE, "thumb", now=NOON) == media_url(ALICE, IMAGE, "thumb", now=NOON + 1)
    assert media_url(ALICE, IMAGE, "thumb", now=NOON) != media_url(ALICE, IMAGE, "thumb", now=NOON + DAY)
