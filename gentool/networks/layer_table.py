"""Tabulate the weight layers of a network: shapes, sizes and norms."""

import math
from collections.abc import Mapping, Sequence

from gentool.common.json import Json, finite
from gentool.networks.canonical import Layer, Network
from gentool.networks.operator_norm import Bounds


def layer_table(
    network: Network,
    others: Mapping[str, Sequence[float | None]] | None = None,
    *,
    only_computed: bool = False,
) -> list[Json]:
    """Return one row for each weight layer; a norm is None if it is not finite or not computed.

    Spectral norms of convolutions as linear maps are there only if they were computed before; with
    `only_computed` so are all others. `others` are further values of each layer, by name.
    """
    rows = [_row(layer, only_computed) for layer in network.weight_layers]
    for name, values in (others or {}).items():
        for row, value in zip(rows, values, strict=True):
            row[name] = None if value is None else finite(value)
    return rows


def _row(layer: Layer, only_computed: bool) -> Json:
    computed = vars(layer)  # cached properties are there once they were asked for
    bounds = computed.get("spectral_operator", Bounds(math.nan, math.nan))
    has_norm = math.isfinite(bounds.lower)
    norms = {
        name: finite(computed.get(name, math.nan) if only_computed else getattr(layer, name))
        for name in ("frobenius", "spectral", "frobenius_operator")
    }
    return {
        "name": layer.name,
        "shape": list(layer.module.weight.shape),
        "channels": layer.channels,
        "units": layer.units,
        **norms,
        "spectral_operator": finite(bounds.lower),
        "spectral_operator_upper": finite(bounds.upper),
        "spectral_operator_error": bounds.error if has_norm else None,
        "spectral_operator_residual": bounds.residual if has_norm else None,
    }
