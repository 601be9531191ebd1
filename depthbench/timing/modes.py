"""Modes: how PyTorch runs a network, as it is, compiled, or as a recorded CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

Run = Callable[[Tensor], Tensor]
Call = Callable[[], object]

# By cell mode, the mode of torch.compile.
COMPILE_MODES = {
    "compile": "default",
    "compile_reduce_overhead": "reduce-overhead",
    "compile_max_autotune": "max-autotune",
}
# On CUDA these record CUDA graphs by themselves.
GRAPHED_COMPILE_MODES = ("compile_reduce_overhead", "compile_max_autotune")
# The PyTorch documentation warms up with three calls before it captures one.
_NUM_CALLS_BEFORE_CAPTURE = 3


def runner(
    network: nn.Module,
    mode: str,
    device: torch.device,
    *,
    compiler: Callable[..., Any] = torch.compile,
    compiler_hints: Any = torch.compiler,
) -> Run:
    """Return what runs a network on a batch: the network itself, or its compiled form.

    Compiling waits for the first call, which must happen in the state that later calls run in
    (threads, gradients, precision), since the compiled code is for that state alone.

    Args:
        network: in training or evaluation mode, its weights where and what they will be.
        mode: a mode of the grammar; of cuda_graph, `captured` does the rest.
        device: where it runs.
        compiler: torch.compile, or a stand-in.
        compiler_hints: torch.compiler, or a stand-in.
    """
    if mode not in COMPILE_MODES:
        return network
    compiled: Run = compiler(own_function(network), mode=COMPILE_MODES[mode], dynamic=False)
    if device.type != "cuda" or mode not in GRAPHED_COMPILE_MODES:
        return compiled

    def run(inputs: Tensor) -> Tensor:
        # Else PyTorch must guess whether the outputs of the call before are still needed.
        compiler_hints.cudagraph_mark_step_begin()
        return compiled(inputs)

    return run


def own_function(network: nn.Module) -> Run:
    """Return a function that runs a network, with a code object that no other function has.

    PyTorch keeps compiled code by code object, tries the versions of one code object in turn at
    each call, and runs uncompiled after the eighth. Networks that are compiled as modules share
    the code of `Network.forward`: cells of one process would slow each other down, and the ninth
    would be timed uncompiled, with no more than a warning.
    """

    def run(inputs: Tensor) -> Tensor:
        result: Tensor = network(inputs)
        return result

    code = run.__code__.replace()
    own: Any = FunctionType(code, run.__globals__, run.__name__, None, run.__closure__)
    compiled: Run = own
    return compiled


@contextmanager
def repeatable_backward(mode: str) -> Iterator[None]:
    """Compile what is compiled inside so that its backward pass can be run again and again.

    A compiled backward pass may otherwise overwrite what the forward pass kept for it, and code
    that does may be in PyTorch's cache from a train_step. These settings hold for one thread, so
    the backward pass inside runs in it.
    """
    if mode not in COMPILE_MODES:
        yield
        return
    from torch._functorch import config  # heavy, and needed by compiled modes alone
    from torch.compiler import config as compiler_config

    with (
        config.patch(donated_buffer=False),
        compiler_config.patch(cache_key_tag="depthbench repeats the backward pass"),  # type: ignore[attr-defined]
        torch.autograd.set_multithreading_enabled(False),
    ):
        yield


def captured(call: Call, device: torch.device, cuda: Any = torch.cuda) -> Call:
    """Record one call as a CUDA graph and return a function that replays it.

    The call must use the same tensors each time, which it does: inputs are fixed. It is made a
    few times first, on the stream that it is captured from: a backward pass runs on the stream of
    its forward pass, which must be the captured one.

    Args:
        call: launches work on the device's current stream, and waits for nothing.
        device: a CUDA device.
        cuda: torch.cuda, or a stand-in.

    Raises:
        RuntimeError: PyTorch cannot record the call.
    """
    with cuda.device(device):
        stream = cuda.Stream(device)
        stream.wait_stream(cuda.current_stream(device))
        with cuda.stream(stream):
            for _ in range(_NUM_CALLS_BEFORE_CAPTURE):
                call()
        cuda.current_stream(device).wait_stream(stream)
        graph = cuda.CUDAGraph()
        with cuda.graph(graph, stream=stream):
            outputs = call()

    def replay(kept: object = (call, outputs)) -> object:  # what the graph reads and writes lives
        return graph.replay()

    return replay
