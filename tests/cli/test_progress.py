"""A bar for what takes many passes: on a terminal only, on standard error only, and gone at the end."""

import io
import re
import sys
from collections.abc import Callable

import pytest

from convscope.cli.progress import progress_bar
from convscope.explain import capture


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Makes standard error a terminal; to be called in the test, because pytest sets the stream anew before."""

    def open_terminal() -> Terminal:
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return open_terminal


def test_a_bar_counts_up_and_clears_itself(terminal: Callable[[], Terminal]):
    stream = terminal()
    with progress_bar("pass") as progress:
        progress(256, 1024)
        progress(1024, 1024)
    shown = stream.getvalue()
    assert "/1024" in shown
    assert re.search(r"\r *\r$", shown), "what it drew is wiped out"


def test_what_is_done_at_once_or_broke_off_before_needs_no_bar(terminal: Callable[[], Terminal]):
    stream = terminal()
    with progress_bar("pass") as progress:
        progress(64, 64)
    with pytest.raises(ArithmeticError), progress_bar("pass"):
        raise ArithmeticError
    assert stream.getvalue() == ""


def test_in_a_log_there_is_none(capsys: pytest.CaptureFixture[str]):
    with progress_bar("pass") as progress:
        progress(1, 3)
    assert capsys.readouterr() == ("", "")


def test_explain_shows_it_for_score_cam_and_standard_output_stays_clean(
    digits_run, cli, tmp_path, monkeypatch: pytest.MonkeyPatch, terminal: Callable[[], Terminal]
):
    monkeypatch.setattr(capture, "AT_ONCE", 4 * 64)  # four pictures of 8×8
    stream = terminal()
    arguments = ["explain", digits_run.path, "--index", 0, "--out", tmp_path / "map.png"]
    code, output, _ = cli(*arguments, "--method", "score-cam")
    assert code == 0
    assert output.startswith("score-cam for ")
    assert "pass" in stream.getvalue()
    drawn = len(stream.getvalue())
    assert cli(*arguments)[0] == 0
    assert len(stream.getvalue()) == drawn, "a method of one pass shows nothing"
