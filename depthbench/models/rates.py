"""What an optimizer's settings are multiplied by for one weight, where weights differ in that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Factors(NamedTuple):
    """What learning rate, weight decay and Adam's epsilon of a weight are multiplied by."""

    rate: float
    decay: float
    eps: float


@dataclass(frozen=True, slots=True)
class Rates:
    """State how a weight's rates follow the shape of its network; all are 1 at the base shape.

    Args:
        adam: of the learning rate of Adam and AdamW.
        sgd: of that of SGD.
        gradient: how its gradient's numbers follow the shape, and so epsilon.
        size: how its first numbers do.
    """

    adam: float = 1.0
    sgd: float = 1.0
    gradient: float = 1.0
    size: float = 1.0

    def of(self, optimizer: str) -> Factors:
        """Return the factors for adamw, adam or sgd.

        Decay that is multiplied by the learning rate keeps its effective strength. That of `adam`
        is a part of the gradient, so there it keeps its share of it.
        """
        if optimizer == "sgd":
            return Factors(self.sgd, 1 / self.sgd, 1.0)
        decay = 1 / self.adam if optimizer == "adamw" else self.gradient / self.size
        return Factors(self.adam, decay, self.gradient)
