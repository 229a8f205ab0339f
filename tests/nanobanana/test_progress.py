import io

from nanobanana import progress as module
from nanobanana.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_the_bar_fill(monkeypatch):
    monkeypatch.setattr(module, "REDRAWN_EVERY", -1)
    terminal = Terminal()
    with progress("Moving", 4, terminal) as advance:
        advance(1)
        advance(3)
    assert [line[-4:] for line in terminal.getvalue().split("\r")[1:]] == ["  0%", " 25%", "100%", "00%\n"]


def test_nothing_else_sees_anything():
    file = io.StringIO()
    with progress("Moving", 4, file) as advance:
        advance(4)
    assert file.getvalue() == ""


def test_nothing_to_do_is_done():
    terminal = Terminal()
    with progress("Moving", 0, terminal):
        pass
    assert "100%" in terminal.getvalue()
