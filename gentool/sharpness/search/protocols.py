"""Define protocols of the literature by name, so that published numbers can be reproduced."""

import torch

from gentool.common.registry import Registry
from gentool.sharpness.definitions import defines
from gentool.sharpness.objective import GRADIENT_COST
from gentool.sharpness.search.state import SearchState, Start

PROTOCOLS = Registry(
    "protocol",
    {
        "keskar2017": "one run of ten iterations of L-BFGS-B; 100 sharpness_keskar (ICLR 2017)",
        "m-sharpness": "the maximum of each mini-batch of 128 in the box, averaged",
        "m-sharpness-l2": "the same in a ball of radius --rho (Foret et al., ICLR 2021)",
        "neyshabur2017": "2,000 steps of mini-batch gradient ascent, as far as known (NIPS 2017)",
        "random": "the highest of as many random corners as --units allows",
    },
)
KESKAR_ITERATIONS = 10
ASCENT_STEPS = 2000
ASCENT_RATE = 0.01
ASCENT_MOMENTUM = 0.9
ASCENT_BATCH = 64


@defines("sharpness_keskar2017")
def in_percent(keskar: float) -> float:
    """Keskar et al.'s protocol: {KESKAR_ITERATIONS} iterations of L-BFGS-B, as a percentage.

        100 · rise / (1 + L(f_w))

    Keskar et al., On Large-Batch Training for Deep Learning, ICLR 2017.
    """
    return 100 * keskar


@defines("sharpness_random")
def highest_of_corners(rise: float) -> float:
    """Highest rise of as many random corners of the box as --units allows, with --protocol random.

        max over some ν ∈ ∏ {−rᵢ, rᵢ} of L(f_{w+ν}) − L(f_w),  rᵢ = α(|wᵢ|+1)

    A far weaker lower bound than sharpness, and no value of it.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return rise


@defines("sharpness_neyshabur2017")
def stochastic_ascent(state: SearchState) -> None:
    """Rise after mini-batch gradient ascent in the box, as far as the paper's solver is known.

        {ASCENT_STEPS} steps ν ← P(ν + {ASCENT_RATE} v),  v ← {ASCENT_MOMENTUM} v + ∇L_B(f_{w+ν})

    From ν = 0; P is the projection onto the box |νᵢ| ≤ α(|wᵢ|+1), and B are batches of
    {ASCENT_BATCH} images, in a new order in every epoch. The step is the plain gradient, which is
    tiny at zero training error: a weaker lower bound than sharpness. The published text does not
    give the solver; these settings are recalled from its appendix.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    point, velocity = state.center, torch.zeros_like(state.center)
    images, order = len(state.objective), torch.empty(0, dtype=torch.int64)
    state.expected_units = GRADIENT_COST * ASCENT_STEPS * min(ASCENT_BATCH, images) / images
    for _ in range(ASCENT_STEPS):
        if len(order) == 0:
            order = torch.randperm(images, generator=state.generator)
        batch, order = order.tensor_split([ASCENT_BATCH])
        _, gradients = state.objective.part(batch.to(point.device)).gradients(point[None])
        velocity = ASCENT_MOMENTUM * velocity + gradients[0]
        point = state.box.project(point + ASCENT_RATE * velocity)
    state.losses(point[None])
    state.starts.append(Start("w", state.rise, images))
