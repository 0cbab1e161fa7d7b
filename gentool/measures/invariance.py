"""Tell by how much each measure changes while the network's function stays as it is.

The classic objection to sharpness (Dinh et al., Sharp Minima Can Generalize for Deep Nets, ICML
2017) as numbers: the network at hand is written in other ways, and measured again.
"""

from collections.abc import Sequence

import torch

from gentool.common.errors import GentoolError
from gentool.common.json import Json
from gentool.measures.measured import Measured, Undefined
from gentool.measures.registry import Measure, MeasureValues, Progress, evaluate_measures
from gentool.measures.transformations import TRANSFORMATIONS, factor, logits_agree


def invariance(
    net: Measured,
    measures: Sequence[Measure],
    values: MeasureValues,
    on_progress: Progress = lambda what, fraction: None,
) -> Json:
    """Return the change of each measure under each transformation, for the record.

    `values` are those of the network as it is. A change is the factor after / before: 1 for a
    measure that stays, None where there is none. Transformations that the network does not have are
    left out, with the reason in `not_applied`.
    """
    words, changes, not_applied = {}, {measure.name: {} for measure in measures}, {}
    for done, (name, (meaning, transform)) in enumerate(TRANSFORMATIONS.items()):
        on_progress(name.replace("_", " "), done / len(TRANSFORMATIONS))
        try:
            changed = transform(net, torch.Generator().manual_seed(net.seed))
        except Undefined as reason:
            not_applied[name] = str(reason)
            continue
        if not logits_agree(net.network, changed.network):
            raise GentoolError(f"the network is not the same function after its {name}")
        words[name] = meaning
        after = evaluate_measures(changed, measures)
        for measure in changes:
            logs = [part.log10[measure] for part in (values, after)]
            numbers = [part.measures[measure] for part in (values, after)]
            changes[measure][name] = factor(*numbers, logs)
    return {"transformations": words, "not_applied": not_applied, "factors": changes}
