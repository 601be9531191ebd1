"""The published forms of CIFAR-10 and CIFAR-100: archives, the files in them, and checksums.

Source: md5 of the files as torchvision has them; sha256 of the archives and of CIFAR-100's binary
files as other readers of the same archives have them.
"""

from __future__ import annotations

from dataclasses import dataclass

from depthbench.data.cifar_files import BatchFile
from depthbench.data.download import RemoteFile

NUM_TRAIN = 50_000
NUM_TEST = 10_000


@dataclass(frozen=True, slots=True)
class Form:
    """Name one form of a set: the archive it is published as, and the files in it."""

    archive: RemoteFile
    files: tuple[BatchFile, ...]

    @property
    def file_names(self) -> tuple[str, ...]:
        """Return the names of its files."""
        return tuple(file.name for file in self.files)


def _batches(suffix: str, checksums: tuple[str, ...]) -> tuple[BatchFile, ...]:
    """Return CIFAR-10's five training files and its test file."""
    names = [*(f"data_batch_{number}{suffix}" for number in range(1, 6)), f"test_batch{suffix}"]
    return tuple(
        BatchFile(name, NUM_TEST, name.startswith("test"), checksum)
        for name, checksum in zip(names, checksums, strict=True)
    )


CIFAR10_FORMS = (
    Form(
        RemoteFile(
            "cifar-10-python.tar.gz",
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        ),
        _batches(
            "",
            (
                "md5:c99cafc152244af753f735de768cd75f",
                "md5:d4bba439e000b95fd0a9bffe97cbabec",
                "md5:54ebc095f3ab1f0389bbae665268c751",
                "md5:634d18415352ddfa80567beed471001a",
                "md5:482c414d41f54cd18b22e5b47cb7c3cb",
                "md5:40351d587109b95175f43aff81a1287e",
            ),
        ),
    ),
    Form(
        RemoteFile(
            "cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
        _batches(
            ".bin",
            (
                "md5:5dd7e06a14cb22eb9f671a540d1b7c25",
                "md5:5ea93a67294ea407fff1d09f752e9692",
                "md5:942cd6a4bcdd0dd3c604fbe906cb4421",
                "md5:ae636b3ba5c66a11e91e8cb52e771fcb",
                "md5:53f37980c15c3d472c316c40844f3f0d",
                "md5:803d5f7f4d78ea53de84dbe85f74fb6d",
            ),
        ),
    ),
)

CIFAR100_FORMS = (
    Form(
        RemoteFile(
            "cifar-100-python.tar.gz",
            "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        ),
        (
            BatchFile("train", NUM_TRAIN, False, "md5:16019d7e3df5f24257cddd939b257f8d"),
            BatchFile("test", NUM_TEST, True, "md5:f0ef6b0ae62326f3e7ffdfab6717acfc"),
        ),
    ),
    Form(
        RemoteFile(
            "cifar-100-binary.tar.gz",
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        ),
        (
            BatchFile(
                "train.bin",
                NUM_TRAIN,
                False,
                "sha256:f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
            ),
            BatchFile(
                "test.bin",
                NUM_TEST,
                True,
                "sha256:d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
            ),
        ),
    ),
)
