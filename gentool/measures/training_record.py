"""Read off the training record how fast a network was trained."""

from gentool.measures.measured import Measured, Undefined
from gentool.measures.registry import MEASURES


@MEASURES.register(cost="derived", needs=("training record",))
def steps_to_loss_0_1(net: Measured) -> float:
    """Steps of the optimizer until the training loss was below 0.1.

        #steps from the start to L(f_w) < 0.1

    L is the mean cross-entropy in evaluation mode, over all that is trained on. How often it is
    looked at, the recipe says (`stop_check`): the number is the first step at which it was seen.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return float(_recorded(net)[0])


@MEASURES.register(cost="derived", needs=("training record",))
def steps_from_loss_0_1_to_0_01(net: Measured) -> float:
    """Steps of the optimizer from a training loss of 0.1 to one of 0.01.

        #steps from L(f_w) < 0.1 to L(f_w) < 0.01

    As in steps_to_loss_0_1; 0 if both were first seen at one look.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    first, second = _recorded(net)
    if second is None:
        raise Undefined("the training loss was not seen below 0.01")
    return float(second - first)


def _recorded(net: Measured) -> tuple[int, int | None]:
    """Return the steps to a loss of 0.1 and to one of 0.01."""
    if net.outcome is None or net.outcome.steps is None:
        raise Undefined("the checkpoint has no record of the steps of its training")
    if net.outcome.steps_to_loss_0_1 is None:
        raise Undefined("the training loss was not seen below 0.1")
    return net.outcome.steps_to_loss_0_1, net.outcome.steps_to_loss_0_01
