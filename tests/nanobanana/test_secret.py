from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from nanobanana.secret import development_secret


def test_it_is_made_once(tmp_path: Path) -> None:
    secret = development_secret(tmp_path / "var")
    assert len(secret) == 64
    assert development_secret(tmp_path / "var") == secret
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["jwt-secret"]


@pytest.mark.parametrize("content", ["", "\n", "x" * 31 + "\n"])
def test_a_file_that_can_be_guessed_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    (tmp_path / "jwt-secret").write_text(content)
    with pytest.raises(
        ImproperlyConfigured, match=r"^JWT_SECRET is empty, and .*/jwt-secret, .* 32"
    ) as refusal:
        development_secret(tmp_path)
    assert "xxx" not in str(refusal.value)
    (tmp_path / "jwt-secret").unlink()
    assert len(development_secret(tmp_path)) == 64


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImproperlyConfigured, match=r"^VAR_DIR=.*/file cannot be used: "):
        development_secret(tmp_path / "file")
    with pytest.raises(ImproperlyConfigured, match=r"^VAR_DIR=/proc/none cannot be used: "):
        development_secret(Path("/proc/none"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "jwt-secret").write_bytes(b"\xff" * 40)
    with pytest.raises(ImproperlyConfigured, match=r"^VAR_DIR=.* cannot be used: 'ascii' codec"):
        development_secret(tmp_path)
