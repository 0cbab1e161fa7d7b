"""Tell with which settings a value was measured: ε, α, biases, folding, method. No torch.

Values can be compared, and averaged, only where these settings are the same. An option of a command
that this file does not name is compared too, so that what is new is never mixed by accident.
"""

from collections.abc import Callable

from gentool.common.json import Json
from gentool.records.measure_facts import facts_of
from gentool.records.recipe import LAYERS

PARTS = ("margin", "sharpness", "expected_sharpness")
"""Parts of a record that a command made with settings of its own."""
_NAMES = """
    both_readings name only use_data data initial first_epoch seed data_seed sampling_seed
    invariance batching compare exact flatness seconds most_draws expected model input_shape pool
    order leave_out activation batch_norm padding stride module layers key labels subset mean std
    draw channels resize channel_order classes
"""
UNIMPORTANT = frozenset(_NAMES.split())
"""Options that change no value: what is computed, how fast, with which random draws; and those that
describe a foreign network, which its recipe holds. A time that cut a search short is in `is_cut`.
"""
_MEANT = {"biases": True, "fold_batch_norm": True, "method": "default", "offset": 1.0}
"""The values that files without these options mean: earlier versions had no choice."""
_PAC_BAYES = ("pac_bayes_bound", "pac_bayes_error_bound")
OF_NOISE_LEVELS = (
    "pac_bayes_sigma",
    "pac_bayes_init",
    "pac_bayes_orig",
    "pac_bayes_flatness",
    "pac_bayes_magnitude",
)
"""How the names of a noise level and of the measures that follow from it begin."""
OF_BOX_SIZES = (
    "sharpness_alpha",
    "sharpness_init",
    "sharpness_orig",
    "sharpness_flatness",
    "sharpness_magnitude_",
)
"""How the names of the size of a box and of the measures that follow from it begin."""
_NOT_SEARCHED = ("sharpness_first_order", "sharpness_interval_bound", "sharpness_exact")


def _of_perturbations(name: str) -> bool:
    """Return whether a measure is one of `gentool sharpness`: it has no margin and no path."""
    begins = ("sharpness", "hessian", "expected_", *OF_NOISE_LEVELS)
    return name.startswith(begins) or name in _PAC_BAYES


def _needs(name: str) -> tuple[str, ...]:
    """Return what a measure needs beside the weights; of an unknown one a margin, to be careful."""
    facts = facts_of(name)
    if facts is None:
        return () if _of_perturbations(name) else ("margin",)
    return facts.needs


def _in_a_given_box(name: str) -> bool:
    """Return whether a measure is of the box that the options describe."""
    return name.startswith("sharpness") and not name.startswith(OF_BOX_SIZES)


def _searched(name: str) -> bool:
    return _in_a_given_box(name) and name not in _NOT_SEARCHED


def _sampled(name: str) -> bool:
    return name.startswith("expected_") or name == "pac_bayes_bound"


_MATTERS: dict[str, Callable[[str], bool]] = {
    "epsilon": lambda name: (
        "margin" in _needs(name)
        and not any(kind in name for kind in ("_jiang2020", "_as_published"))
    ),
    "biases": lambda name: "_path" in name,
    "fold_batch_norm": _of_perturbations,
    "alpha": lambda name: (
        (_in_a_given_box(name) or name.startswith("expected_sharpness"))
        and name != "sharpness_m_l2"
    ),
    "offset": _in_a_given_box,
    "method": _searched,
    "protocol": _searched,
    "restarts": _searched,
    "steps": _searched,
    "units": _searched,
    "m": lambda name: name in ("sharpness_m", "sharpness_m_l2"),
    "rho": lambda name: name == "sharpness_m_l2",
    "precision": _sampled,
    "rel_error": lambda name: (
        name.startswith(("hessian_trace", *OF_NOISE_LEVELS)) or "sampling" in _needs(name)
    ),
    "delta": lambda name: name in _PAC_BAYES,
}
"""For each setting, whether it changes the measure of a name; a test asks the measures."""
_WORDS = {
    "epsilon": "ε",
    "alpha": "α",
    "biases": "biases in the path norms",
    "fold_batch_norm": "batch norm folded",
    "units": "budget in passes",
    "precision": "relative error",
}


def origin(record: Json) -> Json:
    """Return how a command made the values of one file: its options, and whether it was cut off."""
    point = ((record.get("sharpness") or {}).get("points") or [{}])[0]
    in_batches = record.get("m_sharpness") or {}
    sampling = record.get("expected_sharpness") or {}
    return {
        "options": record.get("command") or {},
        "epsilon": (record.get("margin") or {}).get("epsilon"),
        "alpha": point.get("alpha"),
        "stopped": {
            "search": point.get("stopped") or in_batches.get("stopped"),
            "sampling": sampling.get("stopped"),
        },
    }


def settings_of(record: Json, key: str) -> Json:
    """Return the settings of a command that change the value under a key, by name.

    Empty for keys of the recipe and of training. A record merged from several files knows from
    which of them each value is.
    """
    made, name = _origin_of(record, key), _measure(key)
    if made is None:
        return {}
    options = _MEANT | made["options"]
    alpha = options.get("alpha")
    options |= {"alpha": alpha[0] if isinstance(alpha, list) and alpha else alpha}
    options |= {part: made[part] for part in ("epsilon", "alpha") if made[part] is not None}
    if not _has_batch_norm(record.get("recipe")):
        options["fold_batch_norm"] = True  # there is none to fold
    if options.get("protocol") == "m-sharpness" and name != "sharpness_m":
        options["protocol"] = None  # adds a measure, and leaves the search as it is
    return {
        option: value
        for option, value in options.items()
        if value is not None
        and option not in UNIMPORTANT
        and (option not in _MATTERS or _MATTERS[option](name))
    }


def is_cut(record: Json, key: str) -> bool:
    """Return whether the search behind a value was cut short, by its time or by hand.

    A sampling is cut short only by hand: at its most draws it is done, with its standard error.
    """
    made, name = _origin_of(record, key), _measure(key)
    if made is None:
        return False
    if _sampled(name):
        return made["stopped"]["sampling"] == "interrupted"
    return _searched(name) and made["stopped"]["search"] is not None


def notable(settings: Json) -> Json:
    """Return ε and α, and of the other settings those that are not the default."""
    usual = _MEANT | {"protocol": None, "restarts": None, "units": None}
    first = {name: settings[name] for name in ("epsilon", "alpha") if name in settings}
    others = {name: settings[name] for name in usual if name in settings}
    return first | {name: value for name, value in others.items() if value != usual[name]}


def in_words(setting: str, value: object) -> str:
    """Return a setting with its value: `α 0.0005`, `batch norm folded: no`."""
    words = _WORDS.get(setting, setting.replace("_", " "))
    if isinstance(value, bool):
        return f"{words}: {'yes' if value else 'no'}"
    return f"{words} {value:g}" if isinstance(value, float) else f"{words} {value}"


def _measure(key: str) -> str:
    """Return the name of the measure, or of the part of a record, that a key is about."""
    return key.partition(".")[0].removesuffix("_stderr")


def _origin_of(record: Json, key: str) -> Json | None:
    """Return the origin of the value under a key; None for one that no command measured."""
    part, dot, _ = key.partition(".")
    if part not in (PARTS if dot else record["measures"]):
        return None
    if (made_by := record.get("made_by")) is None:
        return origin(record)
    return made_by.get(f"{part}." if dot else key)


def _has_batch_norm(recipe: Json | None) -> bool:
    """Return whether a network has, or may have, batch norm that a search folds into weights."""
    if recipe is None:
        return True
    if recipe.get("model") == LAYERS:
        return any("batch_norm" in str(layer.get("type")) for layer in recipe.get("layers") or ())
    return bool(recipe.get("batch_norm"))
