"""Measure the outputs of the network on its training set: how sure it is, and how right."""

import torch
from torch.nn.functional import cross_entropy as losses_of

from gentool.measures.margin import MARGIN_BATCH
from gentool.measures.measured import Measured, Undefined
from gentool.measures.registry import MEASURES
from gentool.networks.class_logits import class_logits


@MEASURES.register(cost="data", needs=("data",), larger="a worse fit")
def cross_entropy(net: Measured) -> float:
    """Mean cross-entropy of the training set.

        −1/m Σᵢ ln pᵢ[yᵢ]

    pᵢ are the softmax probabilities in evaluation mode, in float64, m all images that the network
    was trained on.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return _means(net)[0]


@MEASURES.register(cost="data", needs=("data",), larger="surer predictions")
def negative_entropy(net: Measured) -> float:
    """Mean negative entropy of the network's output.

        1/m Σᵢ Σⱼ pᵢ[j] ln pᵢ[j]

    pᵢ are the softmax probabilities, m all images that the network was trained on. It goes from
    −ln(classes) for a network that knows nothing to 0 for one that is sure.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return _means(net)[1]


def _means(net: Measured) -> tuple[float, float]:
    """Return the mean cross-entropy and the mean negative entropy, in one pass over the images."""
    loss, entropy = net.once("outputs", lambda: _pass(net))
    if not (abs(loss) < float("inf") and abs(entropy) < float("inf")):
        raise Undefined("some logits are NaN or infinite")
    return loss, entropy


@torch.inference_mode()
def _pass(net: Measured) -> tuple[float, float]:
    examples, loss, entropy = net.trained_on, 0.0, 0.0
    for images, labels in examples.batches(MARGIN_BATCH, torch.float64):
        logits = class_logits(net.network(images))
        loss += float(losses_of(logits, labels, reduction="sum"))
        log_p = logits.log_softmax(dim=1)
        entropy += float((log_p.exp() * log_p.clamp_min(-1e4)).sum())
    return loss / len(examples), entropy / len(examples)
