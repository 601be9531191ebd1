"""A user's own block as a backbone: `package.module:factory` inside a built-in stem and head.

The factory is called as `factory(width=..., hidden=...)`, once for each module, and returns an
`nn.Module` that maps the stream to the same shape: (B, D) with base mlp, (B, D, H, W) with base
conv. `hidden` is None unless the suite sets one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import torch
from torch import nn

from depthbench.errors import BlockError
from depthbench.models.backbone import Backbone, alike
from depthbench.spec import Problem, Variant

Factory = Callable[..., nn.Module]

# What a user's code may raise when it is imported or run: their mistake to mend, not a defect here.
_MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def imported(base: Backbone, variant: Variant) -> Backbone:
    """Return a backbone with the stem and head of `base` around a user's own modules.

    Raises:
        BlockError: The module or the factory in it cannot be found or imported.
    """
    factory = load_factory(variant.backbone)
    return replace(base, modules=alike(lambda v: _module(factory, v)), fused=None)


def load_factory(name: str) -> Factory:
    """Import `package.module:factory`; the current folder is searched last.

    Raises:
        BlockError: It cannot be imported, or is nothing that can be called.
    """
    module_name, _, attribute = name.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        # Last, where `python -m` would put it first: a file here must not hide a package.
        sys.path.append(folder)
    try:
        module = import_module(module_name)
    except _MISTAKES as error:
        raise BlockError(
            f"backbone import {name}: cannot import {module_name}: {_text(error)}; "
            f"searched the installed packages and {folder}; run depthbench in the folder of the "
            "module, or install it"
        ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        place = getattr(module, "__file__", None) or module_name
        names = sorted(key for key in vars(module) if callable(vars(module)[key]))
        raise BlockError(
            f"backbone import {name}: {place} has no function {attribute}; "
            f"it has: {', '.join(names) or 'none'}"
        )
    return factory


@lru_cache(maxsize=4096)
def check_shape(base: Backbone, variant: Variant, problem: Problem) -> None:
    """Check, without computing, that a user's module keeps the shape of the stream.

    Raises:
        BlockError: It fails on the meta device, changes the shape, or the stream in place.
    """
    factory = load_factory(variant.backbone)
    with torch.device("meta"), torch.no_grad():
        stem, module = base.stem(variant, problem), _module(factory, variant).eval()
        z = stem(torch.empty(2, *problem.input_shape))
        version = z._version  # counts changes in place
        try:
            update = module(z)
        except _MISTAKES as error:
            raise BlockError(
                f"backbone import {variant.backbone}: its forward fails on a stream of shape "
                f"{tuple(z.shape)}: {_text(error)}"
            ) from error
    if z._version != version:
        raise BlockError(
            f"backbone import {variant.backbone}: its forward changes the stream in place, and the "
            "skip connection with it; use operations that return a new tensor"
        )
    found = tuple(update.shape) if isinstance(update, torch.Tensor) else type(update).__name__
    if found != tuple(z.shape):
        raise BlockError(
            f"backbone import {variant.backbone}: a module must keep the shape of the stream, "
            f"{tuple(z.shape)}; it returned {found}"
        )


def _module(factory: Factory, variant: Variant) -> nn.Module:
    call = f"factory(width={variant.width}, hidden={variant.hidden})"
    try:
        module = factory(width=variant.width, hidden=variant.hidden)
    except _MISTAKES as error:
        raise BlockError(
            f"backbone import {variant.backbone}: {call} failed: {_text(error)}"
        ) from error
    if not isinstance(module, nn.Module):
        raise BlockError(
            f"backbone import {variant.backbone}: {call} returned {type(module).__name__}; "
            "it must return an nn.Module"
        )
    return module


def check_alike(name: str, modules: list[nn.Module]) -> None:
    """Check that a user's factory returned new modules of one size: one is counted for all.

    Raises:
        BlockError: Two of them share a weight, or differ in their number of weights.
    """
    weights = [id(weight) for module in modules for weight in module.parameters()]
    if len(set(map(id, modules))) < len(modules) or len(set(weights)) < len(weights):
        raise BlockError(
            f"backbone import {name}: every call of the factory must return a new module with "
            "weights of its own; two of them are shared"
        )
    sizes = [sum(weight.numel() for weight in module.parameters()) for module in modules]
    if len(set(sizes)) > 1:
        other = next(index for index, size in enumerate(sizes) if size != sizes[0])
        raise BlockError(
            f"backbone import {name}: every call of the factory must return the same structure; "
            f"module 0 has {sizes[0]:,} weights, module {other} has {sizes[other]:,}"
        )


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
