from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from nanobanana import env

SetTo = Callable[[str], None]


@pytest.fixture
def set_to(monkeypatch: pytest.MonkeyPatch) -> SetTo:
    return lambda value: monkeypatch.setenv("SOME_NAME", value)


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_value_counts_as_unset(set_to: SetTo, empty: str) -> None:
    set_to(empty)
    assert env.text("SOME_NAME", "default") == "default"
    assert env.integer("SOME_NAME", 7) == 7
    assert env.boolean("SOME_NAME", True) is True
    assert env.choice("SOME_NAME", "one", ("one", "two")) == "one"
    assert env.words("SOME_NAME", "one,two") == ["one", "two"]
    assert env.seconds("SOME_NAME", "7d") == 604800
    assert env.size("SOME_NAME", "10MB") == 10485760
    assert env.url("SOME_NAME") == ""
    assert env.secret("SOME_NAME") == ""
    assert env.directory("SOME_NAME", Path("/var")) == Path("/var")


@pytest.mark.parametrize(("value", "expected"), [("0", 0), (" 42 ", 42), ("9", 9)])
def test_an_integer_is_read(set_to: SetTo, value: str, expected: int) -> None:
    set_to(value)
    assert env.integer("SOME_NAME", 1) == expected


@pytest.mark.parametrize("nonsense", ["many", "4.2", "-1", "101", "1e1", "0x1", "1_0", "9" * 400, "1;2"])
def test_nonsense_for_an_integer_is_refused(set_to: SetTo, nonsense: str) -> None:
    set_to(nonsense)
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NAME=.* must be a whole number from 0 to 100\.$"):
        env.integer("SOME_NAME", 1, at_most=100)


@pytest.mark.parametrize("value", ["1", "TRUE", "yes", "on"])
def test_a_boolean_is_read_as_true(set_to: SetTo, value: str) -> None:
    set_to(value)
    assert env.boolean("SOME_NAME", False) is True


@pytest.mark.parametrize("value", ["0", "False", "no", "OFF"])
def test_a_boolean_is_read_as_false(set_to: SetTo, value: str) -> None:
    set_to(value)
    assert env.boolean("SOME_NAME", True) is False


@pytest.mark.parametrize("nonsense", ["maybe", "2", "-1", "truee"])
def test_nonsense_for_a_boolean_is_refused(set_to: SetTo, nonsense: str) -> None:
    set_to(nonsense)
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NAME=.* must be true or false\.$"):
        env.boolean("SOME_NAME", False)


def test_a_choice_is_read_in_any_case(set_to: SetTo) -> None:
    set_to("AWS")
    assert env.choice("SOME_NAME", "local", ("local", "aws")) == "aws"


def test_an_unknown_choice_is_refused_with_those_there_are(set_to: SetTo) -> None:
    set_to("azure")
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NAME=azure must be one of: local, aws\.$"):
        env.choice("SOME_NAME", "local", ("local", "aws"))


def test_words_are_separated_by_commas(set_to: SetTo) -> None:
    set_to(" https://a.example , ,https://b.example,")
    assert env.words("SOME_NAME") == ["https://a.example", "https://b.example"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("900", 900),
        ("90s", 90),
        ("15m", 900),
        ("12h", 43200),
        ("7d", 604800),
        ("2 w", 1209600),
        ("36500d", 3_153_600_000),
    ],
)
def test_a_span_of_time_is_read(set_to: SetTo, value: str, expected: int) -> None:
    set_to(value)
    assert env.seconds("SOME_NAME", "1s") == expected


@pytest.mark.parametrize(
    "nonsense", ["0", "0d", "-1d", "soon", "1.5h", "7days", "7y", "d", "1" * 40, "36501d", "999999999w"]
)
def test_nonsense_for_a_span_of_time_is_refused(set_to: SetTo, nonsense: str) -> None:
    set_to(nonsense)
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NAME=.* must be a span of time such as 15m"):
        env.seconds("SOME_NAME", "7d")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("10485760", 10485760), ("512KB", 524288), ("10mb", 10485760), ("1 GB", 1073741824), ("5B", 5)],
)
def test_a_size_is_read(set_to: SetTo, value: str, expected: int) -> None:
    set_to(value)
    assert env.size("SOME_NAME", "1MB") == expected


@pytest.mark.parametrize("nonsense", ["0", "0MB", "-1", "big", "1.5MB", "10M", "10TB", "MB", "1" * 40])
def test_nonsense_for_a_size_is_refused(set_to: SetTo, nonsense: str) -> None:
    set_to(nonsense)
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NAME=.* must be a size such as 512KB or 10MB\.$"):
        env.size("SOME_NAME", "10MB")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://cdn.example.com/", "https://cdn.example.com"),
        ("http://localhost:3001", "http://localhost:3001"),
        ("http://[::1]:3001/pictures", "http://[::1]:3001/pictures"),
        ("https://app.example.com/#/", "https://app.example.com/#"),
    ],
)
def test_a_url_is_read_without_a_slash_at_its_end(set_to: SetTo, value: str, expected: str) -> None:
    set_to(value)
    assert env.url("SOME_NAME") == expected


@pytest.mark.parametrize(
    "nonsense",
    [
        "localhost",
        "ftp://example.com",
        "http:/example.com",
        "https://",
        "://x",
        "http://h:abc",
        "http://h:99999",
        "http://h:0",
        "http://:80",
        "http://[",
        "http://[::1",
        "http://::1",
        "http://x y",
        "http://h/a\tb",
        "http://h/a\nb",
    ],
)
def test_nonsense_for_a_url_is_refused(set_to: SetTo, nonsense: str) -> None:
    set_to(nonsense)
    with pytest.raises(
        ImproperlyConfigured,
        match=r"^SOME_NAME=.* must be a URL such as http://host:port or https://host:port\.$",
    ):
        env.url("SOME_NAME")


def test_a_url_may_ask_for_other_schemes(set_to: SetTo) -> None:
    set_to("tcp://clamav:3310")
    assert env.url("SOME_NAME", schemes=("tcp", "unix")) == "tcp://clamav:3310"
    set_to("unix:///run/clamd.ctl")
    assert env.url("SOME_NAME", schemes=("tcp", "unix")) == "unix:///run/clamd.ctl"


@pytest.mark.parametrize(
    "nonsense", ["unix://", "unix://run/clamd.ctl", "tcp:///run/clamd.ctl", "tcp://h:abc"]
)
def test_a_unix_url_has_a_path_and_no_host(set_to: SetTo, nonsense: str) -> None:
    set_to(nonsense)
    with pytest.raises(ImproperlyConfigured, match=r"such as tcp://host:port or unix:///path\.$"):
        env.url("SOME_NAME", schemes=("tcp", "unix"))


@pytest.mark.parametrize(
    "value",
    [
        "redis://h",
        "redis://:password@h:6380/2?socket_timeout=3",
        "rediss://user:password@h/0?ssl_cert_reqs=none",
        "redis://[::1]:6379",
        "unix:///run/redis.sock?db=1",
        "unix://:password@/run/redis.sock",
    ],
)
def test_an_address_of_redis_is_one_that_its_client_takes(set_to: SetTo, value: str) -> None:
    set_to(value)
    assert env.redis_url("SOME_NAME") == value


@pytest.mark.parametrize(
    "nonsense",
    [
        "redis://h:abc",
        "redis://[::1",
        "redis://h/xyz",
        "redis://h/1/2",
        "redis://h?socket_timeout=abc",
        "redis://h?foo=bar",
        "redis://h?retry=2",
        "redis://h?protocol=9",
        "unix:///run/redis.sock?db=x",
    ],
)
def test_what_the_client_of_redis_does_not_take_is_refused(set_to: SetTo, nonsense: str) -> None:
    set_to(nonsense)
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NAME=.* must be .*redis://host:port.*\.$"):
        env.redis_url("SOME_NAME")


def refusal_of(read: Callable[[str], object]) -> str:
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NAME=") as refusal:
        read("SOME_NAME")
    return str(refusal.value)


@pytest.mark.parametrize(
    "nonsense",
    [
        "redis://user:hidden@h:abc",
        "redis://:hid/hidden@h",
        "redis://:12?hidden@h",
        "redis://:@hidden@h:abc",
        "redis://:hidden\n@h",
        "redis://h?password=hidden&foo=bar",
        "user:hidden@h",
        "redis://:hidden",
        "redis://user:hidden/0",
    ],
)
def test_a_refusal_shows_no_password(set_to: SetTo, nonsense: str) -> None:
    set_to(nonsense)
    assert "hid" not in refusal_of(env.redis_url)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("redis", "redis"),
        ("my_redis.example.com", "my_redis.example.com"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "[::1]"),
    ],
)
def test_a_host_is_read_as_it_stands_in_a_url(set_to: SetTo, value: str, expected: str) -> None:
    set_to(value)
    assert env.host("SOME_NAME") == expected


@pytest.mark.parametrize("nonsense", ["127.0.0.1:6379", "redis://h", "a b", ":hidden@h", "h/0"])
def test_what_is_more_than_a_host_is_refused(set_to: SetTo, nonsense: str) -> None:
    set_to(nonsense)
    refusal = refusal_of(env.host)
    assert refusal.endswith(" a host, without a port.")
    assert "hidden" not in refusal


@pytest.mark.parametrize(
    "value", ["*", "null", "https://app.example.com", "http://localhost:5173", "capacitor://localhost"]
)
def test_an_origin_is_read(set_to: SetTo, value: str) -> None:
    set_to(f"{value}, https://b.example")
    assert env.origins("SOME_NAME", "") == [value, "https://b.example"]


@pytest.mark.parametrize(
    "nonsense",
    ["foo", "localhost:5173", "https://a.example/", "https://a.example/app", "http://h:abc", "HTTP://h"],
)
def test_what_is_no_origin_is_refused(set_to: SetTo, nonsense: str) -> None:
    set_to(f"https://b.example,{nonsense}")
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NAME=\S+ must be an origin such as https://"):
        env.origins("SOME_NAME", "")


@pytest.mark.parametrize(
    "value", ["a@b.example", "nanobanana <no-reply@localhost>", '"Äpfel, 香蕉" <a@b.example>']
)
def test_a_mailbox_may_have_a_name(set_to: SetTo, value: str) -> None:
    set_to(value)
    assert env.mailbox("SOME_NAME", "") == value


@pytest.mark.parametrize("nonsense", ["nobody", "a@b.example\nBcc: c@d.example", "A <a b@c>", "A <@b>", "a@"])
def test_what_is_no_mailbox_is_refused_in_one_line(set_to: SetTo, nonsense: str) -> None:
    set_to(nonsense)
    with pytest.raises(
        ImproperlyConfigured, match=r"^SOME_NAME=.* must be an address such as Name <name@example\.com>\.$"
    ):
        env.mailbox("SOME_NAME", "")


@pytest.mark.parametrize("token", ["hiddené", "hidden\nhidden", "hidden\u200b"])
def test_a_token_that_no_header_can_show_is_refused_unseen(set_to: SetTo, token: str) -> None:
    set_to("of the operator")
    assert env.token("SOME_NAME") == "of the operator"
    set_to(token)
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NAME must have ASCII characters only") as refusal:
        env.token("SOME_NAME")
    assert "hidden" not in str(refusal.value)


def test_a_secret_is_read_from_the_file_that_is_named(
    set_to, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(" pässword \n")
    set_to("of the environment")
    assert env.secret("SOME_NAME") == "of the environment"
    monkeypatch.setenv("SOME_NAME_FILE", str(tmp_path / "secret"))
    assert env.secret("SOME_NAME") == "pässword"


def test_a_file_of_a_secret_that_cannot_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOME_NAME_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NAME_FILE=.*nowhere cannot be read"):
        env.secret("SOME_NAME")
    (tmp_path / "picture").write_bytes(b"\x89PNG\xff")
    monkeypatch.setenv("SOME_NAME_FILE", str(tmp_path / "picture"))
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NAME_FILE=.*picture cannot be read"):
        env.secret("SOME_NAME")


def test_a_directory_is_absolute(set_to: SetTo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    set_to("data")
    assert env.directory("SOME_NAME", Path("var")) == tmp_path / "data"
    monkeypatch.setenv("HOME", "/home/alice")
    set_to("~/data")
    assert env.directory("SOME_NAME", Path("var")) == Path("/home/alice/data")


@pytest.mark.parametrize("place", ["", "/below/it"])
def test_a_file_is_no_directory(set_to: SetTo, tmp_path: Path, place: str) -> None:
    file = tmp_path / "file"
    file.touch()
    set_to(f"{file}{place}")
    with pytest.raises(ImproperlyConfigured) as refusal:
        env.directory("SOME_NAME", Path("var"))
    assert str(refusal.value) == f"SOME_NAME={file}{place} cannot be used: {file} is not a directory."


def test_the_home_of_nobody_is_no_directory(set_to: SetTo) -> None:
    set_to("~nobody-of-this-name/data")
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NAME=~nobody-of-this-name/data cannot be used: "):
        env.directory("SOME_NAME", Path("var"))


def test_networks_are_addresses_too(set_to: SetTo) -> None:
    set_to("127.0.0.1, 10.0.0.0/8,fd00::/8")
    assert [str(each) for each in env.networks("SOME_NAME")] == ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]
    set_to("")
    assert env.networks("SOME_NAME") == []


@pytest.mark.parametrize("value", ["proxy.example", "10.0.0.1/8", "127.1", "10.0.0.0/33", "*"])
def test_what_is_no_network_is_refused(set_to: SetTo, value: str) -> None:
    set_to(value)
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NAME must list addresses and networks: "):
        env.networks("SOME_NAME")
