"""Name what options choose among, for checks, help and completion. No torch.

The registries hold the same names beside what they stand for; a test compares the two.
"""

from typing import Literal, get_args

Method = Literal["default", "vertex", "apgd", "pga", "lbfgsb", "lbfgsb-subspace", "random"]
Protocol = Literal["keskar2017", "m-sharpness", "m-sharpness-l2", "neyshabur2017", "random"]
Batching = Literal["auto", "loop", "vmap", "stacked", "compiled"]
Figure = Literal[
    "1", "2", "3", "4", "direction", "growth", "margins", "ranking", "samples", "training"
]
PathNorms = Literal["maxpool", "sum"]
Errorbar = Literal["minmax", "sd", "se", "ci95", "none"]
PageStyle = Literal["screen", "paper", "talk"]
TableFormat = Literal["csv", "md", "markdown", "tex", "latex", "jsonl", "ndjson", "parquet"]
METHODS, PROTOCOLS = get_args(Method), get_args(Protocol)
MODELS = ("vgg", "vgg11", "vgg13", "vgg16", "vgg19", "mlp")
DATA_SETS = (
    "cifar10",
    "cifar100",
    "digits",
    "emnist",
    "fashion-mnist",
    "kmnist",
    "mnist",
    "svhn",
    "usps",
)
PRESETS = ("fast", "paper")
OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("constant", "on-stall", "cosine", "one-cycle", "exponential")
BATCH_NORMS = ("none", "conv", "hidden", "all")
