"""Sharpness: how far the training loss rises when the parameters are perturbed.

subject    what is perturbed: the parameters of the canonical network, as one vector
box        |νᵢ| ≤ α(|wᵢ| + 1), as points that floating point has in it
objective  the loss at many points at once, and its gradient
problem    a search under way: what it cost, the best point it saw
starts, search, flips   the default search;  methods   those of the literature
evaluation, finding     the point that is reported, judged in float64
record     from a checkpoint to its record
"""
