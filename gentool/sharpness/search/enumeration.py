"""Find the maximum over the box by trying every corner."""

import torch

from gentool.common.errors import GentoolError
from gentool.sharpness.definitions import defines
from gentool.sharpness.functional import FunctionalNetwork
from gentool.sharpness.search.state import SearchState

MOST_EXACT = 24  # parameters


def check_enumerable(network: FunctionalNetwork) -> None:
    """Raise GentoolError unless the network is linear, with MOST_EXACT parameters at most."""
    count = network.size
    if not network.is_mlp or len(network.mlp_layers) != 1:
        raise GentoolError("--exact is for linear models: a network's maximum need not be a corner")
    if count > MOST_EXACT:
        raise GentoolError(
            f"--exact would try 2^{count} corners, for {count} parameters; "
            f"2^{MOST_EXACT} is the most"
        )


@defines("sharpness_exact")
def enumerate_corners(state: SearchState) -> None:
    """The maximum itself, of a linear model of {MOST_EXACT} parameters at most, by enumeration.

        max over νᵢ ∈ {−rᵢ, rᵢ} of L(f_{w+ν}) − L(f_w)

    Every corner is tried; the best point is left in the search state.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    size = len(state.box.center)
    bits = torch.arange(size, device=state.box.center.device)
    step = max(1, state.objective.candidates_per_chunk)
    for start in range(0, 2**size, step):
        numbers = torch.arange(start, min(start + step, 2**size), device=bits.device)
        state.losses(state.box.corner((numbers[:, None] >> bits & 1).bool()))
