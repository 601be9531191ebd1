"""Workers are started where what they save is more than what starting them costs."""

import pytest

from depthbench.worker_costs import START_SECONDS, Speed, do_pay, seconds_of


def speeds(one, gain, num_workers=2):
    return [Speed(num_workers, 1, one * gain), Speed(1, num_workers, one)]


def test_items_take_as_long_as_the_worker_that_ends_last():
    assert seconds_of([10.0] * 4, Speed(2, 1, 20.0)) == pytest.approx(2.0)
    assert seconds_of([10.0] * 3, Speed(2, 1, 20.0)) == pytest.approx(2.0)  # one of them does two
    assert seconds_of([10.0, 90.0], Speed(2, 1, 20.0)) == pytest.approx(9.0)
    assert seconds_of([10.0] * 3, Speed(1, 2, 10.0)) == pytest.approx(3.0)
    assert seconds_of([], Speed(2, 1, 20.0)) == 0


@pytest.mark.parametrize(
    ("seconds", "gain", "pays"),
    [
        (2 * START_SECONDS, 2.0, False),
        (3 * START_SECONDS, 2.0, True),
        (3 * START_SECONDS, 1.3, False),
        (30 * START_SECONDS, 1.3, True),
        (1e6 * START_SECONDS, 1.05, False),  # what is predicted may be off by more
        (1e6 * START_SECONDS, 0.5, False),
    ],
)
def test_starting_workers_pays_where_it_saves_more_than_it_costs(seconds, gain, pays):
    items = [seconds / 100] * 100
    assert do_pay(items, speeds(1.0, gain)) is pays
    assert do_pay([10 * item for item in items], speeds(10.0, gain)) is pays


def test_a_few_long_items_gain_less_than_many_short_ones():
    seconds = 4 * START_SECONDS
    assert do_pay([seconds / 16] * 16, speeds(1.0, 6.0, num_workers=8))
    assert not do_pay([seconds], speeds(1.0, 6.0, num_workers=8))


def test_without_a_speed_of_this_process_nothing_speaks_against_workers():
    assert do_pay([1.0], [Speed(2, 1, 1.0)])
    assert not do_pay([1.0], [])
    assert not do_pay([1.0], [Speed(1, 2, 1.0)])
