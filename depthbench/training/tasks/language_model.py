"""Language modelling: tokens to the next tokens, cross-entropy a token and bits a byte."""

from __future__ import annotations

from math import ceil, log
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from depthbench.grammar import TaskSettings, TrainSettings
from depthbench.spec import Problem
from depthbench.training.tasks.base import Sums, losses_one_by_one
from depthbench.training.tensors import PreparedData, Tensors

# The target of a place that only fills the last window up: PyTorch's own word for "do not count".
IGNORED = -100
# Bounds the logits of a forward pass, (tokens, K), when a split is evaluated.
EVALUATION_TOKENS = 4096


class TokenSplit(Protocol):
    """Name what is read of a split: a stream of ids and its number of stories."""

    @property
    def tokens(self) -> np.ndarray[Any, Any]:
        """Return the stream, an end-of-text token before and after each story."""

    @property
    def num_stories(self) -> int:
        """Return the number of stories."""


class LanguageModel:
    """Learn to predict the next token by cross-entropy.

    A split is one stream, packed: window i holds tokens iT to (i + 1)T, and predicts those one
    further, so that every token but the stream's first is predicted exactly once and a long story
    goes on in the next window. Training drops the rest that does not fill a window; validation and
    test fill theirs up with places that are not counted.

    With `document_mask` inputs are two rows: tokens, and the number of the story each belongs to,
    counted within the window. The end-of-text token before a story belongs to it.

    Shapes:
        inputs (B, T) int64 tokens, or (B, 2, T); targets (B, T) int64; outputs (B, T, K) logits.
    """

    is_random = False

    def __init__(self, settings: TaskSettings | None = None) -> None:
        self.settings = settings
        self._token_bytes: Tensor | None = None

    def prepare(self, dataset: Any, device: torch.device) -> PreparedData:
        """Put a text's splits on the device as windows of tokens."""
        self._token_bytes = torch.as_tensor(dataset.token_bytes, device=device).double()  # (K,)
        train = self._windows(dataset, dataset.train, device, is_filled_up=False)
        return PreparedData(
            train=train,
            validation=self._windows(dataset, dataset.validation, device, is_filled_up=True),
            test=self._windows(dataset, dataset.test, device, is_filled_up=True),
            pixel_mean=(),
            pixel_std=(),
            digest=dataset.digest,
            is_official=dataset.is_official,
            is_complete=dataset.is_complete,
            columns={
                "train_examples": dataset.train.num_stories,
                "validation_examples": dataset.validation.num_stories,
                "test_examples": dataset.test.num_stories,
                "train_tokens": train.targets.numel(),
                "duplicate_stories": dataset.num_duplicates,
            },
            example_tokens=dataset.context,
        )

    def training_batch(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch as it is."""
        return inputs, targets

    def loss(self, outputs: Tensor, targets: Tensor, settings: TrainSettings) -> Tensor:
        """Return the mean cross-entropy a token in nats, with label smoothing if there is any."""
        return F.cross_entropy(
            outputs.flatten(0, 1),  # (B T, K)
            targets.flatten(),
            ignore_index=IGNORED,
            label_smoothing=settings.label_smoothing,
        )

    def member_losses(self, outputs: Tensor, targets: Tensor, settings: TrainSettings) -> Tensor:
        """Return the loss of each member of a cohort."""
        return losses_one_by_one(self, outputs, targets, settings)

    def sums(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return the sum of cross-entropies, the number of tokens, and the bytes they spell."""
        flat = targets.flatten()  # (B T,)
        losses = F.cross_entropy(
            outputs.flatten(0, 1), flat, ignore_index=IGNORED, reduction="none"
        )  # (B T,), 0 where ignored
        is_counted = flat != IGNORED
        sums = {"loss": losses.double().sum(), "count": is_counted.double().sum()}
        if self._token_bytes is not None:
            sums["bytes"] = (self._token_bytes[flat.clamp(min=0)] * is_counted).sum()
        return sums

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Return the mean loss in nats a token, and all nats as bits over all bytes of the text.

        Ends of stories are predicted and so cost bits, but have no bytes of their own. Bits a byte
        compare vocabularies, which the loss a token does not.
        """
        metrics = {"loss": sums["loss"] / sums["count"]}
        if sums.get("bytes"):
            metrics["bits_per_byte"] = sums["loss"] / log(2) / sums["bytes"]
        return metrics

    def synthetic_batch(
        self, problem: Problem, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return random tokens, as if no story ended."""
        assert problem.vocabulary is not None
        shape = (2, batch_size, *problem.input_shape)
        inputs, targets = torch.randint(problem.vocabulary, shape, generator=generator)
        return inputs, targets

    def _windows(
        self, dataset: Any, split: TokenSplit, device: torch.device, *, is_filled_up: bool
    ) -> Tensors:
        context, end_of_text = dataset.context, dataset.end_of_text
        inputs, targets = windows(split.tokens, context, end_of_text, is_filled_up=is_filled_up)
        if dataset.is_document_masked:
            inputs = np.stack([inputs, document_ids(inputs, end_of_text)], axis=1)  # (N, 2, T)
        return Tensors(
            torch.as_tensor(inputs, device=device),
            torch.as_tensor(targets, device=device),
            evaluation_batch_size=max(1, EVALUATION_TOKENS // context),
        )


def windows(
    stream: np.ndarray[Any, Any], context: int, end_of_text: int, *, is_filled_up: bool
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Cut a stream into windows of inputs, and targets one token further.

    Args:
        stream: token ids, the first of which is only an input.
        context: T, tokens a window.
        end_of_text: what fills inputs up.
        is_filled_up: fill the last window up, its targets ignored, rather than drop the rest.

    Shapes:
        stream: (num_tokens,) of any integer type; returns: two of (N, T) int64.
    """
    num_predicted = len(stream) - 1
    num_windows = ceil(num_predicted / context) if is_filled_up else num_predicted // context
    num_places = num_windows * context
    flat = stream[: num_places + 1].astype(np.int64)
    inputs, targets = flat[:num_places], flat[1:]  # one memory for both, where nothing is missing
    if missing := num_places + 1 - len(flat):
        inputs = np.concatenate([flat, np.full(missing - 1, end_of_text, np.int64)])
        targets = np.concatenate([flat[1:], np.full(missing, IGNORED, np.int64)])
    return inputs.reshape(num_windows, context), targets.reshape(num_windows, context)


def document_ids(inputs: np.ndarray[Any, Any], end_of_text: int) -> np.ndarray[Any, Any]:
    """Return the number of the story of each token, from 0 or 1 on in each window.

    Shapes:
        inputs: (N, T) int64; returns: (N, T) int64.
    """
    return np.cumsum(inputs == end_of_text, axis=1, dtype=np.int64)
