"""The one training loop and what it needs: tensors, order, schedule, optimizer, evaluation.

Read `loop.py` first. Importing this loads torch.
"""

from depthbench.training.curves import Evaluation
from depthbench.training.evaluation import evaluate
from depthbench.training.failures import failure_columns, is_out_of_memory
from depthbench.training.loop import OnProgress, TrainingResult, train, unheard
from depthbench.training.tensors import PreparedData, Tensors, prepare

__all__ = [
    "Evaluation",
    "OnProgress",
    "PreparedData",
    "Tensors",
    "TrainingResult",
    "evaluate",
    "failure_columns",
    "is_out_of_memory",
    "prepare",
    "train",
    "unheard",
]
