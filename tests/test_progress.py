"""Progress goes to standard error: plain lines are few, and their time left is honest."""

from depthbench.progress import PlainLines, Quiet, progress_for


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


def test_quiet_says_nothing(capsys):
    progress = progress_for(is_quiet=True)
    assert isinstance(progress, Quiet)
    progress.begin("train", 1, 0)
    progress.advance("x", is_failure=False)
    progress.end()
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_there_is_no_bar():
    assert isinstance(progress_for(is_quiet=False), PlainLines)
