"""Progress goes to standard error: plain lines are few, and their time left is honest."""

import logging
import sys

import pytest

from depthbench.progress import Bar, PlainLines, Quiet, progress_for, silence


class FakeClock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def plain():
    clock, lines = FakeClock(), []
    return PlainLines(lines.append, clock), clock, lines


def test_plain_lines_come_at_most_every_ten_seconds():
    progress, clock, lines = plain()
    progress.begin("train", 100, 0)
    for _ in range(100):
        clock.now += 1.0
        progress.advance("deep L 2", is_failure=False)
    progress.end()
    progress.end()
    assert len(lines) == 12
    assert lines[0] == "train: 100 to do"
    assert lines[-1] == "train: 100/100 done in 100.0 s"


def test_time_left_counts_only_what_was_done_in_this_session():
    progress, clock, lines = plain()
    progress.begin("train", 100, 90)
    clock.now += 12.0
    progress.advance("deep L 2", is_failure=True)
    assert lines[0] == "train: 100 to do, 90 already done"
    assert lines[1] == "train: 91/100 done, 1 failed, 108 s left; last: deep L 2"


def test_a_long_piece_is_told_of_every_ten_seconds_and_counts_for_the_time_left():
    progress, clock, lines = plain()
    progress.begin("train", 4, 0)
    for step in range(100):
        clock.now += 0.5
        progress.move("deep L 2", step / 100, 0.25 if step >= 50 else None)
    assert len(lines) == 1 + 5
    assert lines[1] == "train: 0/4 done, 3 min left; now: deep L 2 19%"
    assert lines[5].endswith("now: deep L 2 99%, val loss 0.25")
    progress.advance("deep L 2", is_failure=False)
    progress.end()
    assert lines[-1] == "train: 1/4 done in 50.0 s"


def test_nothing_known_of_a_long_piece_gives_no_time_left():
    progress, clock, lines = plain()
    progress.begin("train", 4, 0)
    clock.now += 11
    progress.move("deep L 2", 0.0, None)
    assert lines[1] == "train: 0/4 done, unknown time left; now: deep L 2 0%"


def test_a_bar_moves_within_a_piece(monkeypatch):
    monkeypatch.setattr("depthbench.progress.BAR_INTERVAL_SECONDS", 0.0)
    bar = Bar()
    bar.begin("train", 8, 2)
    bar.move("deep L 2", 0.5, None)
    (task,) = bar.bar.tasks
    assert task.completed == 2.5
    bar.advance("deep L 2", is_failure=False)
    assert task.completed == 3
    bar.end()


def test_a_bar_leaves_room_for_what_a_terminal_shows_of_ctrl_c(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    bar = Bar()
    bar.begin("train", 1_000, 0)
    bar.advance("parallel_shallow L 128 d 1024 seed 12 40%, val loss 0.312", is_failure=True)
    (line,) = bar.bar.console.render_lines(bar.bar.get_renderable(), pad=False)
    text = "".join(segment.text for segment in line)
    assert "1 failed  parallel_shallow" in text
    assert len(text) <= 78
    bar.end()


def test_a_closed_standard_error_ends_no_run(monkeypatch):
    class Closed:
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    progress = PlainLines()
    progress.begin("train", 1, 0)
    progress.end()
    assert progress.stage == ""


def test_silence_holds_what_libraries_say_and_ends_with_its_block(capsys):
    logger = logging.getLogger("pooch-like")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    with pytest.raises(ValueError, match="kept"), silence():
        sys.stderr.write("a bar")
        logger.warning("downloading")
        raise ValueError("kept")
    assert capsys.readouterr().err == ""
    logger.warning("downloading")
    logger.removeHandler(handler)
    assert capsys.readouterr().err == "downloading\n"


def test_quiet_says_nothing(capsys):
    progress = progress_for(is_quiet=True)
    assert isinstance(progress, Quiet)
    progress.begin("train", 1, 0)
    progress.move("x", 0.5, None)
    progress.advance("x", is_failure=False)
    progress.end()
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_there_is_no_bar():
    assert isinstance(progress_for(is_quiet=False), PlainLines)
