"""The options of the field in one table: formula, source and an example suite of each.

`FAMILIES` says what layouts there are, `SYSTEMS` what options compose with them. What an option may
be is in `network_grammar.py`; where it applies is found there, too, not written down again here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from depthbench.network_grammar import BACKBONE_DEFAULTS, FAMILY_BACKBONES, FAMILY_OPTIONS
from depthbench.variants import applicable


@dataclass(frozen=True, slots=True)
class System:
    """Describe what options make of a network, for `depthbench families` and docs/options.md.

    Args:
        options: the settings that make it.
        formula: one line, what the network computes.
        source: where it comes from.
        suite: an example, below suites/, without its ending.
        backbones: those that it is for, where the options alone do not say so.
    """

    options: tuple[str, ...]
    formula: str
    source: str
    suite: str
    backbones: tuple[str, ...] = ()


SYSTEMS: dict[str, System] = {
    "scaled sums": System(
        options=("residual_scale",),
        formula="z + s f(z), s a number, 1/sqrt(L) or 1/L, each loop counted",
        source='"On residual network depth" (2510.03470)',
        suite="systems/norm-free",
    ),
    "ReZero, SkipInit": System(
        options=("residual_scale",),
        formula="z + s_i f_i(z), s_i trained, 0 at the start (rezero) or 1 (learned)",
        source='"ReZero is All You Need" (2003.04887); SkipInit (2002.10444), without norms',
        suite="systems/trained-gains",
    ),
    "LayerScale": System(
        options=("layer_scale",),
        formula="z + g f(z), g a trained number for each feature, layer_scale at the start",
        source='CaiT, "Going deeper with Image Transformers" (2103.17239)',
        suite="systems/trained-gains",
    ),
    "stochastic depth": System(
        options=("survival",),
        formula="in training z + b_i f_i(z), b_i = 1 with probability p_i = 1 - (i / L) "
        "(1 - survival), else 0; afterwards z + p_i f_i(z)",
        source='"Deep Networks with Stochastic Depth" (1603.09382)',
        suite="systems/stochastic-depth",
    ),
    "depth averages": System(
        options=("depth_average", "average_dilation", "average_period"),
        formula="after every average_period-th stage i: z <- sum_j a_ij z_j over every "
        "average_dilation-th state z_j so far; a trained, a_ii = 1 and 0 else at the start",
        source='"DenseFormer" (2402.02622)',
        suite="systems/depth-averages",
    ),
    "plain stacks": System(
        options=("skip",),
        formula="z <- f(z)",
        source='VGG, "Very Deep Convolutional Networks" (1409.1556)',
        suite="systems/plain-stacks",
    ),
    "modules side by side": System(
        options=("branches", "execution"),
        formula="L / k stages of k modules each: z <- z + s (f_1(z) + ... + f_k(z))",
        source='"Make Deep Networks Shallow Again" (2309.08414); '
        '"Multi-Residual Networks" (1609.05672)',
        suite="systems/parallel-block",
    ),
    "parallel block": System(
        options=("parallel_block",),
        formula="z + attention(h) + mlp(h), h = norm(z)",
        source='"PaLM" (2204.02311), section 2; after GPT-J',
        suite="systems/parallel-block",
    ),
    "loops": System(
        options=("loops", "input_injection"),
        formula="all L modules run T times with the same weights; z <- z + z_0 before each loop "
        "after the first",
        source='"Looped Transformers as Programmable Computers" (2301.13196); injection: Trellis '
        "Networks (1810.06682)",
        suite="systems/looped",
    ),
    "mixture of experts": System(
        options=("experts", "active_experts", "balance"),
        formula="mlp(h) = sum of p_e expert_e(h) over the K = active_experts largest p_e of E, "
        "p = softmax(R h); the loss grows by balance E sum_e (share of choices of e) (mean p_e)",
        source='"Outrageously Large Neural Networks" (1701.06538); gates: Vision MoE '
        "(2106.05974); balance: Switch Transformers (2101.03961)",
        suite="systems/widenet",
    ),
    "norms of shared modules": System(
        options=("norm_sharing",),
        formula="one set of weights for all f_i, but for norms: each module's own, or shared, too",
        source='WideNet, "Go Wider Instead of Deeper" (2107.11817)',
        suite="systems/widenet",
    ),
    "places of norms": System(
        options=("norm_position",),
        formula="pre: z + f(norm(z)); post: norm(z + f(z)); peri: z + norm(f(norm(z))); deep: "
        "norm(c z + f(z)), c = (number of updates)^(1/4); all keep the head's norm, none has one "
        "behind the embedding, as Peri-LN's source has",
        source='pre, post: "On Layer Normalization in the Transformer Architecture" (2002.04745); '
        "Peri-LN (2502.02732); DeepNorm (2203.00555)",
        suite="systems/norm-places",
    ),
    "LayerNorm Scaling": System(
        options=("norm_scale",),
        formula="z + f(norm(z) / sqrt(l)) in module l = 1..L",
        source='"The Curse of Depth in Large Language Models" (2502.05795)',
        suite="systems/norm-places",
    ),
    "norms": System(
        options=("norm", "norm_affine", "head_norm"),
        formula="layer, rms: over the features of each position; batch: over the batch; none; with "
        "trained weights or without; before the head or not",
        source="layer: 1607.06450; rms: 1910.07467; batch: 1502.03167",
        suite="hourglass-mnist",
    ),
    "hidden size": System(
        options=("hidden", "expansion", "bottleneck"),
        formula="d_h = hidden, or expansion times d; bottleneck: an expansion below 1",
        source='"Rethinking the Shape Convention of an MLP" (2510.01796)',
        suite="hourglass-mnist",
    ),
    "hidden size by module": System(
        options=("expansions",),
        formula="d_h of module i = expansions[i] times d",
        source='"FlexiBERT" (2205.11656); "DeLighT" (2008.00623)',
        suite="systems/feed-forward-shapes",
    ),
    "narrow feed-forwards": System(
        options=("sub_mlps",),
        formula="after attention z <- z + mlp_k(z), k = 1..sub_mlps, each with d_h < d",
        source="2602.06471, the hourglass in language models",
        suite="systems/feed-forward-shapes",
    ),
    "fixed lift": System(
        options=("lift",),
        formula="z_0 = W x, W as it was drawn",
        source='"Rethinking the Shape Convention of an MLP" (2510.01796)',
        suite="systems/fixed-lift",
    ),
    "attention heads": System(
        options=("heads", "head_size"),
        formula="H heads of S features, S = d / H where not said; heads: match gives L x H what a "
        "budget of total_heads asks for",
        source='"Wide Attention Is The Way Forward For Transformers?" (2210.00640); sizes of their '
        'own: "Low-Rank Bottleneck in Multi-head Attention Models" (2002.07028)',
        suite="systems/wide-attention",
    ),
    "shared keys and values": System(
        options=("kv_heads",),
        formula="H heads of queries, kv_heads of keys and values; 1: multi-query",
        source='"Fast Transformer Decoding" (1911.02150); grouped-query attention (2305.13245)',
        suite="systems/shared-keys",
    ),
    "token mixing": System(
        options=("token_expansion",),
        formula="in place of attention W h over the positions of h = norm(z), W a lower triangle "
        "for text; token_expansion e: W2 act(W1 h), W1 to e hidden places a position",
        source='"Masked Mixers for Language Generation and Retrieval" (2409.01482); images: '
        "MLP-Mixer (2105.01601)",
        suite="systems/mixers",
    ),
    "hybrid of mixing and attention": System(
        options=("attention_every",),
        formula="every attention_every-th module has attention",
        source='"Masked Mixers for Language Generation and Retrieval" (2409.01482)',
        suite="systems/mixers",
    ),
    "patches": System(
        options=("patch",),
        formula="an image is a sequence of squares of patch x patch pixels",
        source='ViT (2010.11929); deep and narrow or shallow and wide: "Tokens-to-Token ViT" '
        "(2101.11986)",
        suite="systems/image-transformers",
    ),
    "shared embedding": System(
        options=("tie_embeddings",),
        formula="logits = E norm(z), E the token embedding",
        source='"Using the Output Embedding to Improve Language Models" (1608.05859)',
        suite="systems/tied-embeddings",
    ),
    "dropout": System(
        options=("dropout",),
        formula="before a block's last convolution each activation is 0 with this probability",
        source='"Wide Residual Networks" (1605.07146), section 2.4',
        suite="systems/stochastic-depth",
    ),
    "activations and biases": System(
        options=("activation", "bias"),
        formula="f(z) = W2 act(W1 norm(z) + b1) + b2; conv: act(W norm(z) + b)",
        source="the defaults of each backbone: docs/suites.md",
        suite="systems/critical-init",
    ),
    "convolutions": System(
        options=("kernel", "stem_stride"),
        formula="k x k convolutions; the stem's goes in steps of stem_stride pixels",
        source='"Make Deep Networks Shallow Again" (2309.08414)',
        suite="shallow-again",
    ),
    "outputs of images": System(
        options=("output",),
        formula="sigmoid(y), or y",
        source='"Rethinking the Shape Convention of an MLP" (2510.01796)',
        suite="hourglass-mnist",
    ),
    "parametrisations": System(
        options=("parametrization", "base_width", "base_depth"),
        formula="with m = d / base_width, M = L / base_depth; mup: deviation of hidden weights "
        "m^-1/2, their Adam rate 1/m, logits 1/m; depth_mup, completep: updates M^-a, rates in "
        "modules M^(a-1), a = 1/2 and 1; ntk: rates lower than mup's, by m^-1/2 (Adam) or m^-1 "
        "(SGD), so that features stay",
        source='mup: "Tensor Programs V" (2203.03466); ntk: 2011.14522; depth_mup: 2310.02244; '
        "completep: 2505.01618",
        suite="systems/learning-rate-transfer",
    ),
    "critical first weights": System(
        options=("init",),
        formula="weights of variance C_W / fan_in, biases of variance C_b: relu C_W = 2, tanh "
        "C_W = 1, C_b = 0",
        source='"The Principles of Deep Learning Theory" (2106.10165)',
        suite="systems/critical-init",
        backbones=("mlp", "conv"),
    ),
    "DeepScaleLM": System(
        options=("init",),
        formula="z <- c z + s f(z), c^2 + s^2 = 1, s^2 = 1 / (1 + number of updates), with first "
        "weights that keep moments",
        source='"Transformers Get Stable" (2403.09635)',
        suite="systems/deepscale",
        backbones=("transformer", "mixer"),
    ),
}


def places_of(system: System) -> str:
    """Return in which backbones and families any of a system's options applies, in words."""
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for backbone in BACKBONE_DEFAULTS:
        families = tuple(_families_with(system.options, backbone))
        if families and backbone in (system.backbones or (backbone,)):
            is_any = families == tuple(_families_of(backbone))
            found[() if is_any else families].append(backbone)
    return "; ".join(_place(backbones, families) for families, backbones in found.items())


def _place(backbones: list[str], families: tuple[str, ...]) -> str:
    where = "any backbone" if backbones == list(BACKBONE_DEFAULTS) else ", ".join(backbones)
    return f"{where} in {', '.join(families)}" if families else where


def _families_with(options: Iterable[str], backbone: str) -> list[str]:
    return [
        family
        for family in _families_of(backbone)
        if applicable(family, backbone, False) & set(options)
    ]


def _families_of(backbone: str) -> list[str]:
    """Return the families that can lay out a backbone."""
    return [
        family
        for family in FAMILY_OPTIONS
        if backbone in FAMILY_BACKBONES.get(family, tuple(BACKBONE_DEFAULTS))
    ]
