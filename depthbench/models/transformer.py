"""The transformer backbone: a causal decoder for text, an encoder of patches for images.

f_i is the update of a whole block: u = attention(norm(z)), f = u + mlp(z + u), so that z + f is the
usual pre-norm block. In an hourglass the one wide mlp becomes K narrow ones in turn, each reading
the stream with the updates before it.

Weights start as GPT-2's, the recipe behind most published language models: linear layers and
embeddings normal with deviation 0.02, biases 0; the layers that write to the stream (attention's
out, an mlp's down) are divided by sqrt(number of such writes in the network), 2 L of them outside
hourglass. PyTorch's own default would give a tied head logits of deviation sqrt(D).

Source: "Language Models are Unsupervised Multitask Learners" (GPT-2), whose smallest network has
depth 12, width 768, 12 heads; here GELU is exact. Patches after "An Image is Worth 16x16 Words"
(arXiv 2010.11929), with their mean instead of a class token. The hourglass follows the K residual
sub-MLPs of arXiv 2602.06471.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod, sqrt

from torch import Tensor, nn

from depthbench.errors import SuiteError
from depthbench.models.attention import Attention, document_mask
from depthbench.models.branches import (
    after_branch,
    has_branch_options,
    norm_before,
    norms_the_stream,
    sized,
    stream_norm,
)
from depthbench.models.experts import feed_forward
from depthbench.models.images import image_shape
from depthbench.models.mixer import mixing
from depthbench.models.norms import feature_norm
from depthbench.models.starts import start_normal, start_zero
from depthbench.models.sums import branch_scale, carry_of, drawn_depth
from depthbench.spec import Problem, Variant

_DEVIATION = 0.02
# The layers that write to the stream, by the ends of their names.
_WRITES = ("attention.out", ".down")
_DEFAULT_PATCH = 4


class TransformerModule(nn.Module):
    """Compute a block's update: attention, then one mlp, or in an hourglass several, on the result.

    Shapes:
        (B, T, D) -> (B, T, D)
    """

    def __init__(self, variant: Variant, mixing: Callable[[], nn.Module]) -> None:
        super().__init__()
        num_mlps = variant.sub_mlps or 1
        self.norm = feature_norm(variant.norm, variant.width, variant.norm_affine)
        self.attention = mixing()
        self.mlps = nn.ModuleList(feed_forward(variant) for _ in range(num_mlps))
        _initialise(self)
        shrunk = _DEVIATION / sqrt(drawn_depth(variant) * (1 + num_mlps))
        for name, layer in self.named_modules():
            if name.endswith(_WRITES) and isinstance(layer, nn.Linear):
                start_normal(layer.weight, shrunk)

    def forward(self, z: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the update of the stream; `mask` as in `Attention`."""
        update = self.attention(self.norm(z), mask)  # (B, T, D)
        for mlp in self.mlps:
            update = update + mlp(z + update)
        return update


class OptionedModule(TransformerModule):
    """Compute a block's update with what options put around its branches, or all on one norm.

    Shapes:
        (B, T, D) -> (B, T, D)

    Source:
        parallel_block: "PaLM" (arXiv 2204.02311), section 2, with its one norm; after GPT-J.
    """

    def __init__(self, variant: Variant, mixing: Callable[[], nn.Module], index: int) -> None:
        super().__init__(variant, mixing)
        self.scale = branch_scale(variant)
        self.is_parallel = bool(variant.parallel_block)
        self.norm = norm_before(self.norm, variant, index)
        for mlp in self.mlps:
            plain = mlp.get_submodule("norm")
            own = nn.Identity() if self.is_parallel else norm_before(plain, variant, index)
            mlp.add_module("norm", own)
        afters = [after_branch(variant) for _ in (self.attention, *self.mlps)]
        self.afters = nn.ModuleList(nn.Identity() if a is None else a for a in afters)

    def forward(self, z: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the update of the stream; `mask` as in `Attention`."""
        h = self.norm(z)  # (B, T, D)
        update = self.after(0, self.attention(h, mask))  # (B, T, D)
        for index, mlp in enumerate(self.mlps, 1):
            update = update + self.after(index, mlp(h if self.is_parallel else z + update))
        return update

    def after(self, index: int, update: Tensor) -> Tensor:
        """Return the update of a branch as it is added to the stream."""
        update = self.afters[index](update)
        return update if self.scale == 1.0 else self.scale * update


class ResummedModule(OptionedModule):
    """Compute the update of a block whose sums are z <- N(c z + s u), one for each branch.

    The network adds c z to the update and applies the last N itself.

    Shapes:
        (B, T, D) -> (B, T, D)
    """

    def __init__(self, variant: Variant, mixing: Callable[[], nn.Module], index: int) -> None:
        super().__init__(variant, mixing, index)
        self.carry = carry_of(variant)
        norm = partial(stream_norm, variant, feature_norm)
        self.between = nn.ModuleList(
            norm() if norms_the_stream(variant) else nn.Identity() for _ in self.mlps
        )

    def forward(self, z: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the update of the stream; `mask` as in `Attention`."""
        stream, update = z, self.after(0, self.attention(self.norm(z), mask))  # (B, T, D) twice
        for index, (mlp, norm) in enumerate(zip(self.mlps, self.between, strict=True), 1):
            stream = norm(self.carry * stream + update)
            update = self.after(index, mlp(stream))
        return update + self.carry * (stream - z)


class TokenStem(nn.Module):
    """Embed tokens and add what their positions have learned.

    Shapes:
        (B, T) int64 -> (B, T, D); fewer tokens than the context may be given.
        (B, 2, T) int64, tokens and the documents that they are of -> (B, T, D) and the mask
        (B, 1, T, T), with which attention stays within a document.
    """

    def __init__(self, variant: Variant, problem: Problem) -> None:
        super().__init__()
        _check_text(variant)
        assert problem.vocabulary is not None
        self.tokens = nn.Embedding(problem.vocabulary, variant.width)
        self.positions = nn.Embedding(problem.input_shape[0], variant.width)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the stream at the start, with its mask where there are documents."""
        tokens = x if x.ndim == 2 else x[:, 0]  # (B, T)
        z = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]  # (B, T, D)
        return z if x.ndim == 2 else (z, document_mask(x[:, 1]))


class TokenHead(nn.Module):
    """Map each position of the normalised stream to token logits, by the embedding if tied.

    Shapes:
        (B, T, D) -> (B, T, K)
    """

    def __init__(self, variant: Variant, problem: Problem) -> None:
        super().__init__()
        assert problem.vocabulary is not None
        self.is_tied = bool(variant.tie_embeddings)
        self.norm = feature_norm(variant.norm, variant.width, variant.norm_affine)
        # A tied weight is put in its place by share_embedding; until then it takes no memory.
        device = "meta" if self.is_tied else None
        self.linear = nn.Linear(variant.width, problem.vocabulary, bias=False, device=device)
        if not self.is_tied:
            _initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        """Return token logits."""
        return self.linear(self.norm(z))  # (B, T, K)


class PatchStem(nn.Module):
    """Cut images into patches, map each to the width and add what its position has learned.

    Shapes:
        (B, C, H, W) -> (B, T, D), T = H W / patch^2
    """

    def __init__(self, variant: Variant, problem: Problem) -> None:
        super().__init__()
        self.patch = variant.patch or _DEFAULT_PATCH
        num_places = num_patches(variant, problem)
        num_numbers = problem.input_shape[0] * self.patch**2
        self.linear = nn.Linear(num_numbers, variant.width, bool(variant.bias))
        self.positions = nn.Embedding(num_places, variant.width)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return the stream at the start."""
        x = x.unflatten(3, (-1, self.patch)).unflatten(2, (-1, self.patch))  # (B, C, h, p, w, p)
        x = x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, T, C p p)
        return self.linear(x) + self.positions.weight  # (B, T, D)


class PatchHead(nn.Module):
    """Average the normalised stream over its patches and map it to the outputs.

    Shapes:
        (B, T, D) -> (B, *output)
    """

    def __init__(self, variant: Variant, problem: Problem) -> None:
        super().__init__()
        self.output_shape = problem.output_shape
        self.norm = feature_norm(variant.norm, variant.width, variant.norm_affine)
        self.linear = nn.Linear(variant.width, prod(problem.output_shape), bool(variant.bias))
        _initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        """Return logits, or an image of as many numbers."""
        z = self.norm(z).mean(1)  # (B, D)
        return self.linear(z).unflatten(1, self.output_shape)  # (B, *output)


def transformer_stem(variant: Variant, problem: Problem) -> nn.Module:
    """Return the embedding of tokens, or of patches."""
    stem = PatchStem if problem.vocabulary is None else TokenStem
    return stem(variant, problem)


def transformer_modules(variant: Variant, problem: Problem) -> list[nn.Module]:
    """Return the L blocks; those of text are causal."""
    is_causal = problem.vocabulary is not None
    return [
        _module(sized(variant, index), partial(Attention, variant, is_causal=is_causal), index)
        for index in range(variant.depth)
    ]


def mixer_modules(variant: Variant, problem: Problem) -> list[nn.Module]:
    """Return the L blocks of a mixer, some with attention where `attention_every` says so."""
    num_positions = (
        problem.input_shape[0] if problem.vocabulary is not None else num_patches(variant, problem)
    )
    return [
        _module(
            sized(variant, index), partial(mixing, variant, problem, index, num_positions), index
        )
        for index in range(variant.depth)
    ]


def _module(variant: Variant, mix: Callable[[], nn.Module], index: int) -> nn.Module:
    """Return a block: the plain one, or where options ask for it one that has them."""
    is_resummed = norms_the_stream(variant) or carry_of(variant) != 1.0
    if is_resummed and not variant.parallel_block:
        return ResummedModule(variant, mix, index)
    is_scaled = branch_scale(variant) != 1.0
    if is_resummed or is_scaled or variant.parallel_block or has_branch_options(variant):
        return OptionedModule(variant, mix, index)
    return TransformerModule(variant, mix)


def transformer_head(variant: Variant, problem: Problem) -> nn.Module:
    """Return the map to token logits, or from the mean over patches to the outputs."""
    head = PatchHead if problem.vocabulary is None else TokenHead
    return head(variant, problem)


def share_embedding(stem: nn.Module, head: nn.Module) -> None:
    """Let a tied head use the token embedding of the stem: one weight in two places."""
    if isinstance(stem, TokenStem) and isinstance(head, TokenHead) and head.is_tied:
        head.linear.weight = stem.tokens.weight


def _initialise(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Embedding):
            start_normal(layer.weight, _DEVIATION)
        if isinstance(layer, nn.Linear):
            start_zero(layer.bias)


def num_patches(variant: Variant, problem: Problem) -> int:
    """Return into how many patches an image is cut.

    Raises:
        SuiteError: The examples are no images, or patches do not divide them.
    """
    _, height, width = image_shape(variant, problem)
    patch = variant.patch or _DEFAULT_PATCH
    if height % patch or width % patch:
        sides = [p for p in range(1, min(height, width) + 1) if height % p == width % p == 0]
        raise SuiteError(
            f"backbone {variant.backbone}: patches of {patch} x {patch} pixels do not divide "
            f"images of {height} x {width}; patch may be {', '.join(map(str, sides))}"
        )
    if variant.tie_embeddings is False:
        raise SuiteError(
            f"backbone {variant.backbone}: tie_embeddings: false applies to text; images have no "
            "token embedding that the head could share"
        )
    return (height // patch) * (width // patch)


def _check_text(variant: Variant) -> None:
    if variant.norm == "batch":
        raise SuiteError(
            f"backbone {variant.backbone}: norm: batch would let a token see those after it, in "
            "the statistics of training; use layer, rms or none for text"
        )
    if variant.patch not in (None, _DEFAULT_PATCH):
        raise SuiteError(
            f"backbone {variant.backbone}: patch: {variant.patch} applies to images; text is in "
            "tokens"
        )
