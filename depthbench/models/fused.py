"""Run the modules of a parallel stage as one: the same numbers in fewer, larger operations.

The weights of a stage are stored joined, so that neither the forward pass nor the optimizer copies
them. `state_dict` and `load_state_dict` speak the names of the unfused network: weights, initial
draws and gradients are the same, only joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from depthbench.models.activations import ACTIVATIONS
from depthbench.models.network import Context, Network
from depthbench.spec import Variant


class FusedStage(nn.Module):
    """Hold k equal modules as one; a subclass says how their tensors join and how they run.

    Attributes:
        JOINS: for each tensor of a module, the axis along which those of all modules are joined.
            A tensor that the modules do not have is None here.

    Shapes:
        (B, *stream) -> (B, *stream)
    """

    JOINS: ClassVar[dict[str, int]]

    def __init__(self, modules: Sequence[nn.Module], variant: Variant) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[str(variant.activation)]
        self.num_modules = len(modules)
        tensors = [dict(module.named_parameters()) for module in modules]
        for name, axis in self.JOINS.items():
            parts = [own[name].detach() for own in tensors if name in own]
            joined = nn.Parameter(torch.cat(parts, axis)) if parts else None
            self.register_parameter(joined_name(name), joined)

    def forward(self, z: Tensor, scales: Tensor | None) -> Tensor:
        """Return the sum of the modules' updates, each times its own scale where it has one."""
        raise NotImplementedError

    def parts(self) -> Iterator[tuple[str, str, int]]:
        """Yield (name in a module, name of the joined tensor, axis) of every tensor there is."""
        for name, axis in self.JOINS.items():
            if getattr(self, joined_name(name)) is not None:
                yield name, joined_name(name), axis


class FusedNetwork(Network):
    """Run each stage of a network as one module. Equal to it but for rounding, gradients too."""

    def __init__(self, network: Network, stage_type: type[FusedStage], variant: Variant) -> None:
        ends = (start + size for start, size in zip(network.starts, network.stages, strict=True))
        blocks = list(network.blocks)
        super().__init__(
            network.stem,
            [
                stage_type(blocks[start:end], variant)
                for start, end in zip(network.starts, ends, strict=True)
            ],
            network.head,
            stages=network.stages,
            scale=network.scale,
        )
        self.scales = network.scales
        self.register_state_dict_post_hook(_split_state)
        self.register_load_state_dict_pre_hook(_join_state)

    def advance(self, z: Tensor, stage: int, context: Context = ()) -> Tensor:
        """Return the stream after one stage; what can be fused reads no context."""
        if self.scales is None:
            return torch.add(z, self.blocks[stage](z, None), alpha=self.scale)
        start = self.starts[stage]
        scales = self.scales[start : start + self.stages[stage]]  # (K,)
        return z + self.blocks[stage](z, scales)

    def split(self, tensors: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
        """Return joined tensors by the names that they have in the unfused network.

        Args:
            tensors: by their names in this network: its weights, or their gradients.
            prefix: what stands before every name.
        """
        unfused: dict[str, Tensor] = {}
        for names, joined, axis in self._names(prefix):
            parts = tensors[joined].chunk(len(names), axis)
            unfused |= dict(zip(names, parts, strict=True))
        return unfused

    def _names(self, prefix: str) -> Iterator[tuple[list[str], str, int]]:
        """Yield (names in the unfused network, joined name, axis) of every joined tensor."""
        for index, (start, stage) in enumerate(zip(self.starts, self.blocks, strict=True)):
            assert isinstance(stage, FusedStage)
            modules = range(start, start + stage.num_modules)
            for name, joined, axis in stage.parts():
                names = [f"{prefix}blocks.{module}.{name}" for module in modules]
                yield names, f"{prefix}blocks.{index}.{joined}", axis


def unfused_gradients(network: Network) -> dict[str, Tensor]:
    """Return the gradient of every weight by its name in the unfused network."""
    gradients = {
        name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None
    }
    if not isinstance(network, FusedNetwork):
        return gradients
    others = {name: grad for name, grad in gradients.items() if not name.startswith("blocks.")}
    return others | network.split(gradients)


def joined_name(name: str) -> str:
    """Return the name of a joined tensor: "up.weight" is "up_weight"."""
    return name.replace(".", "_")


def _split_state(
    network: nn.Module, state: dict[str, Tensor], prefix: str, metadata: dict[str, Any]
) -> None:
    """Rename the stages' joined tensors to those of their modules, in the unfused order."""
    assert isinstance(network, FusedNetwork)
    unfused = network.split(state, prefix)
    items = list(state.items())
    state.clear()
    for name, tensor in items:
        if not name.startswith(f"{prefix}blocks."):
            state[name] = tensor
            continue
        for own in sorted(unfused, key=lambda key: int(key[len(prefix) :].split(".")[1])):
            state[own] = unfused.pop(own)


def _join_state(network: nn.Module, state: dict[str, Tensor], prefix: str, *unused: object) -> None:
    """Join the tensors of modules into those of their stages, where all of them are there."""
    assert isinstance(network, FusedNetwork)
    for names, joined, axis in network._names(prefix):
        if all(name in state for name in names):
            state[joined] = torch.cat([state.pop(name) for name in names], axis)
