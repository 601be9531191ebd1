"""TinyStories: short stories in the words of small children, written by GPT-3.5 and GPT-4.

Source: "TinyStories: How Small Can Language Models Be and Still Speak Coherent English?" (Eldan and
Li 2023, 2305.07759). The splits here are ours.
"""

from __future__ import annotations

from depthbench.data.text import TextSet

SOURCE = "https://huggingface.co/datasets/roneneldan/TinyStories"

# The sha256 of each official file. Any of them is a whole set of its own: the splits are ours, by
# story, so that a part of a file is cut in the same way.
OFFICIAL = {
    "TinyStories-train.txt": "c5cf5e22ff13614e830afbe61a99fbcbe8bcb7dd72252b989fa1117a368d401f",
    "TinyStories-valid.txt": "94e431816c4cce81ff71e4408ff8d3bda9a42e8d2663986697c3954288cb38b4",
    "TinyStoriesV2-GPT4-train.txt": (
        "6418d412de72888f52b5142c761ac21a582f7d1166f0bfbdb5f03ccfdec90443"
    ),
    "TinyStoriesV2-GPT4-valid.txt": (
        "6874bae9a4c1a4e7edcf0e53b86c17817e9cf881fc75ff2368da457b80c0585d"
    ),
}

TINYSTORIES = TextSet(
    name="tinystories", licence="CDLA-Sharing-1.0", official=OFFICIAL, source=SOURCE
)
