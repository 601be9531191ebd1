"""The members of a cohort: M networks as one, M optimizers, M streams of random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor, nn

from depthbench.grammar import TrainSettings
from depthbench.models.stacked import Convolution, member_tensors, stack
from depthbench.training.arithmetic import forward_in
from depthbench.training.batches import orders, stream_seed
from depthbench.training.optimizers import optimizer_of, weight_group
from depthbench.training.tasks import Task
from depthbench.training.tensors import Tensors


class Members:
    """Train M networks of one variant as one.

    All trained weights are rows of one matrix, a member each, so that a step of a member's
    optimizer is one kernel, at the member's own learning rate and weight decay.

    Args:
        networks: initialised, on the device; they are left as they are.
        settings: of each member; equal but for learning rate and weight decay.
        task: what is learned.
        convolution: how convolutions run.

    Shapes:
        weights, gradients: (M, P), P trained weights a member.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        settings: Sequence[TrainSettings],
        task: Task,
        convolution: Convolution = "loop",
    ) -> None:
        self.num_members = len(networks)
        self.settings = settings[0]
        self.task = task
        self.network = stack(networks, convolution)
        self._forward = forward_in(self.network, self.settings.precision)
        self._leaves = [weight for weight in self.network.parameters() if weight.requires_grad]
        self.weights, views = _matrix(self._leaves)
        self.gradients, self._gradient_views = _matrix(self._leaves)
        for leaf, view in zip(self._leaves, views, strict=True):
            leaf.data = view
        self.rows = [row.detach().requires_grad_() for row in self.weights]
        for row, gradient in zip(self.rows, self.gradients, strict=True):
            row.grad = gradient
        # One group for all members of a rate and decay: a group costs Python more than a kernel.
        groups = list(dict.fromkeys(map(_key, settings)))
        self._group_of = [groups.index(_key(own)) for own in settings]
        self.optimizer = optimizer_of(
            [
                weight_group(
                    [row for row, own in zip(self.rows, settings, strict=True) if _key(own) == key],
                    next(own for own in settings if _key(own) == key),
                )
                for key in groups
            ],
            self.settings,
        )

    def outputs(self, inputs: Tensor) -> Tensor:
        """Return what each member makes of its own examples, float32.

        Shapes:
            (M, B, *input) -> (M, B, *output)
        """
        outputs = self._forward(inputs.flatten(0, 1)).float()  # (M B, *output)
        return outputs.unflatten(0, (self.num_members, -1))

    def step(self, inputs: Tensor, targets: Tensor, rates: Sequence[float]) -> Tensor:
        """Take one optimizer step of every member and return their losses, detached.

        A loss or weight that is not finite stays its member's own: nothing is summed over members
        but the losses, whose gradients are apart.

        Args:
            inputs: each member's own batch.
            targets: the same.
            rates: the learning rate of each member in this step.

        Shapes:
            inputs: (M, B, *input); targets: (M, B, ...); returns: (M,).
        """
        outputs = self.outputs(inputs)
        losses = self.task.member_losses(outputs, targets, self.settings)  # (M,)
        gradients = torch.autograd.grad(losses.sum(), self._leaves)
        torch._foreach_copy_(self._gradient_views, gradients)
        if self.settings.clip_norm is not None:
            self._clip(self.settings.clip_norm)
        for place, rate in zip(self._group_of, rates, strict=True):
            self.optimizer.param_groups[place]["lr"] = rate
        self.optimizer.step()
        return losses.detach()

    def _clip(self, clip_norm: float) -> None:
        """Scale down each member's gradient to a norm, as torch.nn.utils.clip_grad_norm_ does."""
        norms = self.gradients.norm(dim=1, keepdim=True)  # (M, 1)
        self.gradients.mul_((clip_norm / (norms + 1e-6)).clamp(max=1.0))

    def write(self, index: int, network: nn.Module) -> None:
        """Copy a member's weights and buffers into a network of its own."""
        own = dict(member_tensors(self.network, index))
        with torch.no_grad():
            for name, tensor in (*network.named_parameters(), *network.named_buffers()):
                tensor.copy_(own[name])

    def member_state(self, index: int) -> list[Tensor]:
        """Return views of all that a member has learned: its weights and its buffers."""
        return [tensor for _, tensor in member_tensors(self.network, index)]


Seen = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Streams:
    """Keep a stream of PyTorch's random numbers for each member, as it has when it trains alone.

    Args:
        seeds: of the members.
        device: whose generator is used beside the CPU's.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._device = device
        self.states = []
        for seed in seeds:
            self._seed(stream_seed(seed, "noise"))
            self.states.append(self._state())

    @contextmanager
    def of(self, index: int) -> Iterator[None]:
        """Draw from a member's stream while inside."""
        torch.set_rng_state(self.states[index][0])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(self.states[index][1], self._device)
        yield
        self.states[index] = self._state()

    def each(self, seen: Seen, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return each member's batch as its network sees it, by random numbers of its own.

        Shapes:
            inputs: (M, B, *input); targets: (M, B, ...); returns two alike.
        """
        pairs = []
        for index in range(len(inputs)):
            with self.of(index):
                pairs.append(seen(inputs[index], targets[index]))
        return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])

    def _seed(self, seed: int) -> None:
        torch.default_generator.manual_seed(seed)
        if self._device.type == "cuda":
            with torch.cuda.device(self._device):
                torch.cuda.manual_seed(seed)

    def _state(self) -> tuple[Tensor, ...]:
        if self._device.type == "cuda":
            return torch.get_rng_state(), torch.cuda.get_rng_state(self._device)
        return (torch.get_rng_state(),)


def together(seen: Seen, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return all members' batches as their networks see them, where nothing is drawn at random.

    Shapes:
        inputs: (M, B, *input); targets: (M, B, ...); returns two alike.
    """
    sizes = inputs.shape[:2]
    inputs, targets = seen(inputs.flatten(0, 1), targets.flatten(0, 1))
    return inputs.unflatten(0, sizes), targets.unflatten(0, sizes)


def member_batches(
    tensors: Tensors,
    batch_size: int,
    seeds: Sequence[int],
    num_examples: int | None = None,
    start: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each member's next batch: the same as `batches` gives the member's seed alone.

    `start` is how many batches are left out at the beginning.

    Shapes:
        yields: (M, B, *input) and (M, B, ...).
    """
    every = [orders(tensors, batch_size, seed, num_examples) for seed in seeds]
    for indices in islice(zip(*every, strict=True), start, None):
        flat, sizes = torch.cat(indices), (len(seeds), len(indices[0]))
        yield (
            tensors.inputs.index_select(0, flat).unflatten(0, sizes),
            tensors.targets.index_select(0, flat).unflatten(0, sizes),
        )


def _matrix(leaves: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return a copy of weights (M, *shape) as rows (M, P), and views of it in their shapes."""
    num_members = len(leaves[0])
    with torch.no_grad():
        matrix = torch.cat([leaf.detach().reshape(num_members, -1) for leaf in leaves], dim=1)
    ends = torch.tensor([leaf[0].numel() for leaf in leaves]).cumsum(0).tolist()
    starts = [0, *ends[:-1]]
    views = [
        matrix[:, start:end].view(leaf.shape)
        for leaf, start, end in zip(leaves, starts, ends, strict=True)
    ]
    return matrix, views


def _key(settings: TrainSettings) -> tuple[float, float | None]:
    """Return what members must share to be of one parameter group."""
    return settings.lr, settings.weight_decay
