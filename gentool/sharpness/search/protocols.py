"""Define protocols of the literature by name, so that published numbers can be reproduced."""

import torch

from gentool.common.registry import Registry
from gentool.sharpness.box import Box
from gentool.sharpness.definitions import defines
from gentool.sharpness.objective import Objective
from gentool.sharpness.search.climb import Climb

PROTOCOLS = Registry(
    "protocol",
    {
        "keskar2017": "one run of ten iterations of L-BFGS-B; 100 sharpness_keskar (ICLR 2017)",
        "m-sharpness": "the maximum of each mini-batch of 128, averaged (Foret et al., ICLR 2021)",
        "random": "the highest of as many random corners as --units allows",
    },
)
KESKAR_ITERATIONS = 10
M = 128
M_STEPS = 5


@defines("sharpness_keskar2017")
def in_percent(keskar: float) -> float:
    """Keskar et al.'s protocol: {KESKAR_ITERATIONS} iterations of L-BFGS-B, as a percentage.

        100 · rise / (1 + L(f_w))

    Keskar et al., On Large-Batch Training for Deep Learning, ICLR 2017.
    """
    return 100 * keskar


@defines("sharpness_m")
def m_sharpness(objective: Objective, within: Box, seed: int) -> float:
    """Largest rise of each mini-batch of {M} in a box of its own, averaged.

        mean over B of max over |νᵢ| ≤ α(|wᵢ|+1) of L_B(f_{w+ν}) − L_B(f_w)

    Batches B are a random partition of the set; the maximum of each is the best of some vertex
    iterations from w, and 0 where none is higher.
    Foret et al., Sharpness-Aware Minimization, ICLR 2021.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(objective), generator=generator).to(within.low.device)
    w = objective.network.weights
    total = 0.0
    for indices in order.split(M):
        batch = objective.part(indices)
        climb = Climb.from_point(batch, within, w, torch.zeros_like(w, dtype=torch.bool))
        before = float(climb.losses)
        for _ in range(M_STEPS - 1):
            climb.step()
        climb.look()
        total += (float(climb.losses) - before) * len(indices)
    return total / len(objective)
