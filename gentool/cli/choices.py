"""Name what options choose among, for help and completion. No torch.

The registries hold the same names beside what they stand for; a test compares the two.
"""

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
