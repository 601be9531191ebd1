"""Flips and shifts of training images: what they do, how often, and that they repeat."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from depthbench.errors import SuiteError, TrialError
from depthbench.expand import expand
from depthbench.grammar import TrainSettings
from depthbench.record import column_names
from depthbench.suite import parse_suite
from depthbench.training import train
from depthbench.training.augment import CROP_PIXELS, augmentation_of, flip, flip_crop
from depthbench.training.tensors import PreparedData, Tensors

SUITE = """\
suite: s
dataset: {dataset}
backbone: {{name: {backbone}, {options}}}
variants: [{{family: deep, depth: 1, width: 4}}]
train: {{epochs: 1, {train}}}
"""


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield


def trial_of(train_settings=""):
    text = SUITE.format(dataset="digits", backbone="mlp", options="", train=train_settings)
    (trial,) = expand(parse_suite(text.replace(", }", "}"), "s.yaml"))
    return trial


def test_a_flip_mirrors_about_half_of_the_images_whole_and_leaves_the_rest():
    images = torch.arange(400 * 2 * 3 * 5).float().view(400, 2, 3, 5)
    flipped = flip(images)
    is_same = (flipped == images).flatten(1).all(1)
    is_mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    assert (is_same ^ is_mirrored).all()
    assert 150 < is_mirrored.sum() < 250
    assert not flipped.is_set_to(images)


def test_a_crop_is_one_of_the_81_windows_of_the_padded_image_or_its_mirror():
    images = torch.randn(60, 3, 9, 11)
    padded = F.pad(images, (CROP_PIXELS,) * 4, mode="reflect")
    windows = padded.unfold(2, 9, 1).unfold(3, 11, 1)  # (B, C, 9, 9, 9, 11)
    windows = windows.flatten(2, 3).transpose(1, 2)  # (B, 81, C, 9, 11)
    choices = torch.cat([windows, windows.flip(-1)], dim=1)  # (B, 162, C, 9, 11)
    cropped = flip_crop(images)
    matches = (choices == cropped[:, None]).flatten(2).all(2)  # (B, 162)
    assert (matches.sum(1) == 1).all()
    assert len({int(index) for index in matches.int().argmax(1)}) > 40


def test_every_shift_and_mirror_is_about_equally_likely():
    ramp = torch.arange(32.0).expand(1, 32, 32)
    image = torch.cat([ramp, ramp.mT])[None]  # (1, 2, 32, 32): columns, rows
    batch = flip_crop(image.expand(8100, 2, 32, 32))
    left, right = batch[:, 0, 0, 15], batch[:, 0, 0, 16]
    is_mirrored = right < left
    assert 0.47 < is_mirrored.float().mean() < 0.53
    across = torch.where(is_mirrored, left - 16, left - 15)
    down = batch[:, 1, 15, 0] - 15
    for shifts in (across, down):
        counts = torch.bincount((shifts + CROP_PIXELS).long())
        assert len(counts) == 9
        assert (counts - 900).abs().max() < 150


@pytest.mark.parametrize("name", ["flip", "flip_crop"])
def test_the_same_seed_gives_the_same_batch_and_the_next_another(name):
    augment = augmentation_of(name, (1, 8, 8))
    images = torch.randn(16, 1, 8, 8)
    before = images.clone()
    torch.manual_seed(5)
    first, second = augment(images), augment(images)
    torch.manual_seed(5)
    assert torch.equal(augment(images), first)
    assert not torch.equal(first, second)
    assert torch.equal(images, before)


def test_none_is_the_very_batch_and_draws_no_random_number():
    images = torch.randn(4, 1, 8, 8)
    state = torch.get_rng_state()
    assert augmentation_of("none", (1, 8, 8))(images) is images
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_no_image_or_too_small_is_refused_with_what_to_change():
    with pytest.raises(TrialError, match="flip applies to images"):
        augmentation_of("flip", (256,))
    with pytest.raises(TrialError, match="4 x 9; use flip or none"):
        augmentation_of("flip_crop", (3, 4, 9))
    assert augmentation_of("none", (256,)) is not None
    assert augmentation_of("flip_crop", (3, 5, 5)) is flip_crop


class Seen(nn.Module):
    """A network that remembers the training batches it is given."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 4)
        self.batches = []
        nn.init.zeros_(self.linear.weight)

    def forward(self, images):
        if self.training:
            self.batches.append(images)
        return self.linear(images.flatten(1))


def seen(augment, seed=0):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(20, 1, 8, 8, generator=generator)
    split = Tensors(images, torch.arange(20) % 4)
    data = PreparedData(split, split, split, (0.0,), (1.0,), "0" * 64, True, True)
    network = Seen()
    train(network, data, TrainSettings(epochs=2, batch_size=10, augment=augment), seed)
    return network.batches


@pytest.mark.parametrize("augment", ["flip", "flip_crop"])
def test_training_sees_the_plain_order_augmented_and_repeats_bitwise(augment):
    plain, changed = seen("none"), seen(augment)
    assert len(plain) == len(changed) == 4
    assert any(not torch.equal(a, b) for a, b in zip(plain, changed, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(changed, seen(augment), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(changed, seen(augment, 1), strict=True))
    if augment == "flip":
        pairs = zip(torch.cat(plain), torch.cat(changed), strict=True)
        assert all(torch.equal(a, b) or torch.equal(a.flip(-1), b) for a, b in pairs)


def test_the_default_changes_no_identity_and_a_change_does():
    plain, none, flipped = trial_of(), trial_of("augment: none"), trial_of("augment: flip")
    assert plain.trial_id == none.trial_id != flipped.trial_id
    assert plain.variant_id == flipped.variant_id
    assert plain.describe()["augment"] == "none"
    assert flipped.describe()["augment"] == "flip"
    assert "augment" in column_names("trials")


def test_text_and_augmentation_do_not_go_together():
    text = SUITE.format(
        dataset="tinystories", backbone="mlp", options="", train="augment: [none, flip]"
    )
    with pytest.raises(SuiteError, match="augment: flip is for images, not for tinystories"):
        parse_suite(text.replace(", }", "}"), "s.yaml")
