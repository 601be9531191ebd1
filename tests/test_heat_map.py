import pytest

from tests.fixtures_results import make_run, only_panel, panels_in, trial_rows

SEEDS = (0.99, 1.0, 1.01)


def grid(loss_of, depths=(2, 4, 8), widths=(16, 32, 64), **settings):
    return [
        row
        for depth in depths
        for width in widths
        for row in trial_rows(
            "deep",
            [loss_of(depth, width) * factor for factor in SEEDS],
            depth=depth,
            width=width,
            budgets=[],
            **settings,
        )
    ]


def bowl(depth, width):
    return 0.1 + 0.01 * abs(depth - 4) + 0.001 * abs(width - 32)


def test_the_lowest_cell_of_a_grid_is_found_and_marked():
    panel = only_panel(make_run(grid(bowl)), "heat_map")
    assert panel.finding == "The lowest test loss: deep at L 4, d 32, 0.1000 [0.0973, 0.1027]."
    assert [row["depth"] for row in panel.rows] == [2, 4, 8]
    assert panel.rows[1]["width_32"] == pytest.approx(0.1)
    marked = [cell for row in panel.texts for cell in row if cell.startswith("* ")]
    assert marked == ["* 0.100"]


def test_a_lowest_cell_at_the_edge_is_said_to_be_there():
    panel = only_panel(make_run(grid(lambda depth, width: 1 / depth + width / 100)), "heat_map")
    assert "at L 8, d 16 (the deepest and the narrowest given)" in panel.finding


def test_widths_that_follow_the_depth_are_no_grid():
    trials = [
        row
        for depth, width in ((2, 64), (4, 45), (8, 32), (16, 22))
        for row in trial_rows("deep", [0.1, 0.2, 0.3], depth=depth, width=width)
    ]
    assert panels_in(make_run(trials), "heat_map") == []


def test_a_cell_that_diverged_says_so_and_one_that_is_not_there_is_blank():
    trials = grid(bowl, depths=(2, 4), widths=(16, 32))
    trials = [row for row in trials if (row["depth"], row["width"]) != (2, 16)]
    for row in trials:
        if (row["depth"], row["width"], row["seed"]) == (4, 32, 0):
            row |= {"status": "diverged", "test_loss": None, "val_loss": None}
    panel = only_panel(make_run(trials), "heat_map")
    assert panel.rows[1]["width_32"] is None
    assert panel.texts[1][-1] == "diverged 1 of 3"
    assert panel.texts[0][2] == "-"


def test_families_have_grids_of_their_own():
    trials = grid(bowl) + [
        row | {"family": "parallel_shallow", "variant_id": f"p{row['variant_id']}"}
        for row in grid(bowl, depths=(2, 4))
    ]
    for row in trials:
        row["trial_id"] = f"{row['family']}-{row['trial_id']}"
    panel = only_panel(make_run(trials), "heat_map")
    assert [row["family"] for row in panel.rows] == ["deep"] * 3 + ["parallel_shallow"] * 2
