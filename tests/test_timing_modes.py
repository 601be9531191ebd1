"""Modes: compiled code of each cell's own, CUDA graphs as the documentation captures them."""

from functools import partial

import pytest
import torch
from torch import nn

from depthbench.models import build
from depthbench.timing import phases
from depthbench.timing.memory import memory_columns
from depthbench.timing.modes import captured, own_function, repeatable_backward, runner
from depthbench.timing.support import Machine, unsupported_reason
from depthbench.timing.work import UnsupportedError, prepare
from tests.fixtures_networks import assert_close, seeded, variant_of
from tests.fixtures_timing import CPU, CUDA, FakeCuda, called, cell_of, decoder_cell, prepared

ABLE = Machine(lambda device: (9, 0), lambda: True, lambda: True)


def counting_compiler(compiled):
    """Return torch.compile by a backend that runs the graphs as they are, and notes each."""

    def backend(graph, inputs):
        compiled.append(graph)
        return graph

    return lambda function, mode, dynamic: torch.compile(function, backend=backend, dynamic=dynamic)


def test_more_cells_than_pytorch_recompiles_are_each_compiled_once():
    compiled = []
    x = torch.randn(4, 1, 8, 8)
    runs = []
    for width in range(4, 16):
        network = seeded(variant_of(depth=2, width=width))
        run = runner(network, "compile", CPU, compiler=counting_compiler(compiled))
        runs.append((network, run))
        assert_close(run(x).detach(), network(x).detach())
    assert len(compiled) == 12
    for network, run in runs * 2:  # in turn, as rounds do: none is compiled again, none is lost
        assert_close(run(x).detach(), network(x).detach())
    assert len(compiled) == 12


def test_functions_of_one_network_share_no_code():
    network = nn.Linear(2, 2)
    codes = [own_function(network).__code__ for _ in range(3)]
    assert len({id(code) for code in codes}) == 3


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("compile", "default"),
        ("compile_reduce_overhead", "reduce-overhead"),
        ("compile_max_autotune", "max-autotune"),
    ],
)
def test_modes_are_those_of_torch_compile_with_fixed_shapes(mode, expected):
    asked = {}
    marks = []

    class Hints:
        cudagraph_mark_step_begin = staticmethod(lambda: marks.append("mark"))

    def compiler(function, **options):
        asked.update(options)
        return function

    network = nn.Linear(2, 2)
    x = torch.ones(1, 2)
    run = runner(network, mode, CUDA, compiler=compiler, compiler_hints=Hints)
    assert torch.equal(run(x), network(x))
    assert asked == {"mode": expected, "dynamic": False}
    assert len(marks) == (mode != "compile")  # those with CUDA graphs begin a step each call


def test_eager_is_the_network_itself():
    network = nn.Linear(2, 2)
    assert runner(network, "eager", CPU) is network


@pytest.mark.parametrize("phase", phases.PHASES)
def test_compiled_calls_do_what_eager_calls_do(phase, monkeypatch):
    compiled = []
    by_backend = partial(runner, compiler=counting_compiler(compiled))
    monkeypatch.setattr(phases, "runner", by_backend)
    cell = decoder_cell(phase=phase)
    eager = prepared(cell)
    ready = prepared(decoder_cell(phase=phase, mode="compile"), machine=ABLE)
    assert (ready.is_compiled, eager.is_compiled) == (True, False)
    assert compiled == []  # it waits for the first call
    assert_same_calls(ready, eager)
    assert len(compiled) == 1


def assert_same_calls(ready, eager):
    for _ in range(3):
        results, expected = called(ready), called(eager)
        results = results if isinstance(results, tuple) else (results,)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for result, other in zip(results, expected, strict=True):
            assert_close(result.detach(), other.detach(), 1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("phase", phases.PHASES)
@pytest.mark.parametrize("mode", ["compile", "compile_max_autotune"])
def test_pytorchs_own_compiler_does_what_eager_does(phase, mode):
    eager = prepared(decoder_cell(phase=phase))
    assert_same_calls(prepared(decoder_cell(phase=phase, mode=mode)), eager)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_repeated_backward_pass_takes_no_code_of_a_train_step_from_the_cache(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    for phase in ("train_step", "backward", "train_step", "backward"):
        eager = prepared(decoder_cell(phase=phase))
        assert_same_calls(prepared(decoder_cell(phase=phase, mode="compile")), eager)


def test_what_is_compiled_for_repeated_backward_passes_keeps_what_they_read():
    from torch._functorch import config

    assert config.donated_buffer
    with repeatable_backward("eager"):
        assert config.donated_buffer
    with repeatable_backward("compile"):
        assert not config.donated_buffer
    assert config.donated_buffer


# --- CUDA graphs, with a stand-in for torch.cuda --------------------------------------------------


def test_a_call_is_warmed_up_on_a_side_stream_and_captured_there():
    cuda = FakeCuda()
    replay = captured(cuda.called, torch.device("cuda:1"), cuda)
    assert cuda.log == [
        "device cuda:1",
        "side waits for default",
        *["call on side"] * 3,
        "default waits for side",
        "call on captured side",
    ]
    del cuda.log[:]
    replay()
    replay()
    assert cuda.log == ["replay", "replay"]


def test_what_a_graph_reads_lives_as_long_as_its_replay():
    import gc
    import weakref

    network = nn.Linear(2, 2)
    x = torch.ones(1, 2)
    alive = weakref.ref(network)
    replay = captured(partial(network, x), CUDA, FakeCuda())
    del network
    gc.collect()
    assert alive() is not None
    del replay
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("phase", phases.PHASES)
def test_a_graph_is_captured_in_the_state_of_its_calls(phase, monkeypatch):
    seen = []

    def capture(call, device):
        seen.append(torch.is_inference_mode_enabled())
        call()
        return lambda: "replayed"

    # The tensors of this test are on the CPU; only the mode is the GPU's.
    monkeypatch.setattr("depthbench.timing.work.unsupported_reason", lambda *_: None)
    ready = prepare(decoder_cell(phase=phase, mode="cuda_graph"), CPU, build, capture=capture)
    assert seen == [phase in ("inference", "decode")]
    assert called(ready) == "replayed"
    assert not ready.is_compiled


def test_adam_counts_its_steps_where_a_graph_can(monkeypatch):
    monkeypatch.setattr("depthbench.timing.work.unsupported_reason", lambda *_: None)
    for mode, is_capturable in (("cuda_graph", True), ("eager", False)):
        cell = cell_of(phase="train_step", mode=mode)
        ready = prepare(cell, CPU, build, capture=lambda call, device: call)
        (group,) = ready.work.optimizer.param_groups
        assert group["capturable"] is is_capturable


def test_what_cannot_be_captured_is_unsupported_but_running_out_of_memory_is_not(monkeypatch):
    monkeypatch.setattr("depthbench.timing.work.unsupported_reason", lambda *_: None)
    cell = cell_of(mode="cuda_graph")

    def fail(call, device):
        raise RuntimeError("operation not permitted when stream is capturing\nlong story")

    with pytest.raises(UnsupportedError, match=r"record it: operation not perm.*capturing$"):
        prepare(cell, CPU, build, capture=fail)

    def run_out(call, device):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        prepare(cell, CPU, build, capture=run_out)


# --- CUDA itself ----------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("phase", phases.PHASES)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
@pytest.mark.parametrize("mode", ["eager", "compile", "compile_reduce_overhead", "cuda_graph"])
def test_every_cell_that_a_gpu_supports_runs_there(phase, precision, mode):
    cell = decoder_cell(phase=phase, precision=precision, mode=mode)
    if unsupported_reason(cell, CUDA) is not None:
        pytest.skip("this GPU does not support it")
    ready = prepare(cell, CUDA, build)
    for _ in range(3):
        called(ready)
    columns = memory_columns(ready, cell, CUDA)
    assert columns["peak_memory_bytes"] >= ready.touched_bytes
    assert columns["reserved_memory_bytes"] >= columns["peak_memory_bytes"]
    called(ready)
    torch.cuda.synchronize()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_replayed_train_step_trains_as_eager_ones_do():
    cells = [decoder_cell(phase="train_step", mode=mode) for mode in ("eager", "cuda_graph")]
    eager, graphed = (prepare(cell, CUDA, build) for cell in cells)
    for _ in range(3):  # as many as the graph's warm-up; what is captured is not run
        called(eager)
    for _ in range(5):
        called(eager)
        called(graphed)
    torch.cuda.synchronize()
    weights = zip(eager.work.network.parameters(), graphed.work.network.parameters(), strict=True)
    for weight, other in weights:
        assert_close(other.detach(), weight.detach(), 1e-4)
