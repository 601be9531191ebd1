"""The nonlinearities a module may use, by the word a suite uses."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Activation = Callable[[Tensor], Tensor]


def identity(z: Tensor) -> Tensor:
    """Return the input: a linear module, the control of an experiment on nonlinearity."""
    return z


# Plain functions: they hold no weights, and a call costs less than that of a module. None works in
# place, since the input may still be needed for the skip.
ACTIVATIONS: dict[str, Activation] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "identity": identity,
}
