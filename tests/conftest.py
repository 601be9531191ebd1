"""What all tests share: cells are timed in this process, unless a test is about the others."""

import gc

import pytest


@pytest.fixture(scope="session")
def frozen_garbage():
    """Do as a timing process does: what was loaded is not looked through at each collection."""
    import depthbench.timing.bench  # noqa: F401

    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def benches_here(request, monkeypatch, frozen_garbage):
    """Spare tests that time cells by the way the seconds that fresh processes take to start."""
    if "processes" in request.keywords:
        return
    from depthbench import timing_stage
    from depthbench.timing.bench import LocalBench

    def start_here(device, is_peak_measured, compiled):
        return lambda count: [
            LocalBench(device, count, is_peak_measured=is_peak_measured) for _ in range(count)
        ]

    monkeypatch.setattr(timing_stage, "_processes", start_here)
    monkeypatch.setattr(timing_stage, "NUM_PROCESSES", 1)


@pytest.fixture(scope="session")
def strikable(tmp_path_factory):
    """Give what runs the command line in processes of its own and strikes them."""
    from tests.fixtures_struck import Strikable

    found = Strikable(tmp_path_factory.mktemp("suite"))
    yield found
    found.close()


@pytest.fixture(scope="session")
def quiet(strikable, tmp_path_factory):
    """Give the results of a run that nothing disturbs."""
    out = tmp_path_factory.mktemp("quiet")
    code, said = strikable.run(out)
    assert code == 0, said
    return out


@pytest.fixture(scope="session")
def ray_here():
    """Start ray once for all tests that are not about its start, which takes seconds."""
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    from depthbench.executors.ray_cluster import joined

    with joined(None) as ray:
        yield ray
