"""The official files of MNIST and Fashion-MNIST: names, and sha256 with and without gzip.

Gzipped copies of the same file may differ (Debian's do), so identity is that of the bytes inside.
"""

from __future__ import annotations

from dataclasses import dataclass

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"


@dataclass(frozen=True, slots=True)
class Checksums:
    """Hold the sha256 of an official file, as published with gzip, and without it."""

    packed: str
    unpacked: str


OFFICIAL: dict[str, dict[str, Checksums]] = {
    "mnist": {
        TRAIN_IMAGES: Checksums(
            packed="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            unpacked="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        TRAIN_LABELS: Checksums(
            packed="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            unpacked="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        TEST_IMAGES: Checksums(
            packed="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            unpacked="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        TEST_LABELS: Checksums(
            packed="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            unpacked="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    },
    "fashion_mnist": {
        TRAIN_IMAGES: Checksums(
            packed="3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            unpacked="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        TRAIN_LABELS: Checksums(
            packed="a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            unpacked="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        TEST_IMAGES: Checksums(
            packed="346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            unpacked="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        TEST_LABELS: Checksums(
            packed="67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            unpacked="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    },
}


def owner_of(unpacked_sha256: str) -> tuple[str, str] | None:
    """Return the data set and the file that have this sha256 without gzip, or None."""
    for name, files in OFFICIAL.items():
        for file, checksums in files.items():
            if checksums.unpacked == unpacked_sha256:
                return name, file
    return None
