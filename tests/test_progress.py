"""Progress goes to standard error: lines are few, never wrap, and their time left is honest."""

import io
import logging
import sys

import pytest
from rich.console import Console

from depthbench.progress import Bar, Ending, PlainLines, Quiet, Work, progress_for, silence
from depthbench.progress.tally import Tally, in_words
from depthbench.progress.time_left import TimeLeft

WIDTHS = (60, 80, 120)


class FakeClock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def works(count, shape="a", cost=1.0):
    return [
        Work(f"deep L 2 d 8 seed {i}", shape=shape, cost=cost, variant="deep L2 d8")
        for i in range(count)
    ]


def plain():
    clock, lines = FakeClock(), []
    return PlainLines(lines.append, clock), clock, lines


def run_each(progress, clock, todo, seconds, **ending):
    for work in todo:
        progress.move(work, 0.0, None)
        clock.now += seconds
        progress.advance(work, [Ending(**ending)])


def test_plain_lines_come_at_most_every_ten_seconds_and_the_last_one_always():
    progress, clock, lines = plain()
    todo = works(100)
    progress.begin("train", todo)
    run_each(progress, clock, todo, 1.0)
    progress.end()
    progress.end()
    assert len(lines) == 12
    assert lines[0] == "train: 100 to do"
    assert lines[1] == "train: 10/100 done, 1.0/s, about 90 s left; last: deep L 2 d 8 seed 9"
    assert lines[-1] == "train: 100/100 done in 100.0 s"


def test_what_a_former_session_did_counts_as_done_and_says_nothing_of_the_time_left():
    progress, clock, lines = plain()
    todo = works(10)
    progress.begin("train", todo, [(Work("old"), Ending())] * 90)
    run_each(progress, clock, todo[:1], 12.0, status="failed", is_failure=True)
    assert lines[0] == "train: 100 to do, 90 already done"
    assert lines[1] == (
        "train: 91/100 done, 1 failed, 5.0/min, about 108 s left; last: deep L 2 d 8 seed 0 failed"
    )


def test_a_long_work_is_told_of_every_ten_seconds_and_counts_for_the_time_left():
    progress, clock, lines = plain()
    todo = works(4)
    progress.begin("train", todo)
    for step in range(100):
        progress.move(todo[0], step / 100, 0.25 if step >= 50 else None)
        clock.now += 0.5
    assert len(lines) == 1 + 4
    assert lines[1] == (
        "train: 0/4 done, 1 running, about 3 min left; now: 20% of deep L 2 d 8 seed 0"
    )
    assert lines[4].endswith("now: 80% of deep L 2 d 8 seed 0, val loss 0.250")
    progress.advance(todo[0], [Ending()])
    progress.end()
    assert lines[-1] == "train: 1/4 done in 50.0 s"


def test_without_evidence_there_is_no_time_left():
    progress, clock, lines = plain()
    todo = works(4)
    progress.begin("train", todo)
    progress.move(todo[0], 0.0, None)
    clock.now += 11
    progress.move(todo[0], 0.01, None)
    assert lines[1] == "train: 0/4 done, 1 running; now: 1% of deep L 2 d 8 seed 0"


def test_a_shape_that_was_predicted_ten_times_as_costly_weighs_ten_times_as_much():
    left = TimeLeft()
    left.add("small", 1.0, 10)
    left.add("large", 10.0, 10)
    left.learn("small", 10, 20.0)
    low, high = left.seconds(20.0)
    assert low < 10 * 20.0 < high
    left.learn("large", 1, 30.0)  # and what it really took stands over the prediction
    assert left.seconds(50.0) == (9 * 30.0, 9 * 30.0)


def test_unseen_shapes_give_a_range_as_wide_as_predictions_were_off():
    left = TimeLeft()
    for name in ("a", "b", "c"):
        left.add(name, 1.0, 1)
    left.learn("a", 1, 10.0)
    left.learn("b", 1, 40.0)
    assert left.seconds(50.0) == (10.0, 40.0)


def test_several_at_once_end_sooner():
    clock = FakeClock()
    todo = works(12)
    tally = Tally("train", todo, (), clock)
    for start in range(0, 8, 4):
        for work in todo[start : start + 4]:
            tally.move(work, 0.0, None)
        clock.now += 10.0
        for work in todo[start : start + 4]:
            tally.advance(work, [Ending()])
    assert tally.left() == "about 10 s"


def test_a_cohort_counts_all_its_trials_and_costs_what_it_took_together():
    clock = FakeClock()
    cohorts = [Work(f"deep L 2 d 8 12 trials {i}", count=12, shape="a") for i in range(3)]
    tally = Tally("train", cohorts, (), clock)
    tally.move(cohorts[0], 0.0, None)
    assert tally.num_running == 12
    clock.now += 30.0
    tally.advance(cohorts[0], [Ending(loss=0.5)] * 12)
    assert (tally.done, tally.total, tally.num_running) == (12, 36, 0)
    assert tally.left() == "about 60 s"


def test_lost_work_is_neither_done_nor_running_until_it_is_done_in_pieces():
    clock = FakeClock()
    whole, halves = Work("12 trials", count=12, shape="a"), Work("6 trials", count=6, shape="a")
    tally = Tally("train", [whole], (), clock)
    tally.move(whole, 0.5, None)
    tally.advance(whole, [])
    assert (tally.done, tally.num_running) == (0, 0)
    tally.move(halves, 0.0, None)
    clock.now += 6.0
    tally.advance(halves, [Ending()] * 6)
    assert (tally.done, tally.left()) == (6, "about 6 s")


def test_the_best_is_of_finished_trials_alone_and_of_a_former_session_too():
    progress, clock, lines = plain()
    todo = works(3)
    former = [(Work("x", variant="wide L1 d64"), Ending(loss=0.3))]
    progress.begin("train", todo, former)
    run_each(progress, clock, todo[:1], 11.0, loss=0.123456)
    run_each(progress, clock, todo[1:], 11.0, status="diverged", loss=0.01)
    assert "; best deep L2 d8 val loss 0.123; " in lines[-1]
    progress.end()
    assert lines[-1].endswith("; best deep L2 d8 val loss 0.123")


def test_losses_on_several_data_sets_have_no_best():
    tally = Tally(
        "train", [Work("a", group="mnist")], [(Work("b", group="digits"), Ending(loss=0.1))], int
    )
    assert tally.best() is None


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((9.6,), "10 s"),
        ((0.4,), "0.4 s"),
        ((110.0, 112.0), "about 111 s"),
        ((300.0, 1200.0), "5 to 20 min"),
        ((3600.0, 30 * 3600.0), "1.0 to 30 h"),
        ((1e6, 1e6), "about 278 h"),
        ((0.0, 0.0), "about 0 s"),
    ],
)
def test_times_are_in_words(ends, words):
    assert in_words(*ends) == words


def terminal(width, **settings):
    return Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system=None, **settings
    )


def drawing(bar, width):
    """Return the lines that a bar draws at a width, without spaces at their ends."""
    options = terminal(width).options
    lines = bar.console.render_lines(bar, options, pad=False)
    return ["".join(segment.text for segment in line) for line in lines]


def busy_bar(width):
    """Return a bar in the middle of a large run, with everything that it can say."""
    clock = FakeClock()
    bar = Bar(terminal(width), clock)
    todo = [
        Work(f"parallel_shallow L 128 d 1024 seed {i}", 1, "a", 1.0, "parallel_shallow L128 d1024")
        for i in range(6912)
    ]
    bar.begin("train", todo)
    run_each(bar, clock, todo[:1000], 2.0, loss=0.2123)
    bar.advance(todo[1001], [Ending("failed", is_failure=True)])
    bar.move(todo[1002], 0.4, 0.312)
    return bar


@pytest.mark.parametrize("width", WIDTHS)
def test_a_bar_is_two_lines_that_leave_room_for_what_a_terminal_shows_of_ctrl_c(width):
    bar = busy_bar(width)
    lines = drawing(bar, width)
    bar.end()
    assert len(lines) == 2
    assert max(map(len, lines)) <= width - 3
    assert lines[0].startswith("train ━")
    assert "1,001/6,912  1 failed" in lines[0]
    assert lines[0].endswith("about 3 h left")
    assert lines[1].startswith("best parallel_shallow L128 d1024 val loss 0.212")


def test_a_wide_terminal_shows_all_and_a_narrow_one_no_half_of_a_number():
    wide, narrow = busy_bar(120), busy_bar(20)
    assert "1 running  0.50/s" not in drawing(narrow, 20)[0]
    assert "1 running  30/min" in drawing(wide, 120)[0]
    assert drawing(wide, 120)[1].endswith("seed 1002, val loss 0.312")
    assert drawing(narrow, 60)[1].endswith("now 40%…")
    for width in range(1, 60):
        assert max(map(len, drawing(narrow, width))) <= max(0, width - 3)
    wide.end()
    narrow.end()


def test_a_bar_ends_with_how_long_it_took_and_takes_no_more():
    bar = busy_bar(80)
    tally = bar.tally
    bar.end()
    bar.end()
    text = bar.console.file.getvalue()
    assert "1,001/6,912  1 failed  in 33 min" in text
    assert "now" not in text[text.rindex("in 33 min") :]
    bar.move(Work("late"), 0.5, None)
    assert tally.num_running == 1


def test_a_closed_standard_error_ends_no_run(monkeypatch):
    class Closed:
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    progress = PlainLines()
    progress.begin("train", works(1))
    progress.end()
    assert progress.tally is None


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
    progress.begin("train", works(1))
    progress.move(works(1)[0], 0.5, None)
    progress.advance(works(1)[0], [Ending()])
    progress.end()
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_there_is_no_bar():
    assert isinstance(progress_for(is_quiet=False), PlainLines)


def test_works_that_only_their_key_tells_apart_run_side_by_side():
    tally = Tally("train", [Work("a", key=1), Work("a", key=2)], (), FakeClock())
    tally.move(Work("a", key=1), 0.1, None)
    tally.move(Work("a", key=2), 0.1, None)
    assert tally.num_running == 2
