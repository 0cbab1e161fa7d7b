"""Say keys in words: on an axis, at the head of a column, and in the line that explains it.

The heads are short; the words of `--columns` and `--where` can be read in them. No torch.
"""

_WORDS = {
    "recipe.subset": "training-set size",
    "recipe.hidden": "hidden units",
    "recipe.confusion": "confusion-set size",
    "recipe.labels": "labels",
    "recipe.width": "width",
    "recipe.depth": "hidden layers",
    "recipe.seed": "seed",
    "recipe.model": "model",
    "recipe.data": "data",
    "recipe.lr": "learning rate",
    "outcome.train_error": "training error",
    "outcome.test_error": "test error",
    "outcome.confusion_error": "error on the confusion set",
    "outcome.train_loss": "training loss",
    "outcome.test_loss": "test loss",
    "outcome.epochs": "epochs",
    "outcome.steps": "steps",
    "outcome.steps_to_loss_0_1": "steps to a training loss of 0.1",
    "outcome.steps_to_loss_0_01": "steps to a training loss of 0.01",
    "gap": "generalization gap (test error − training error)",
    "loss_gap": "gap of the losses (test loss − training loss)",
    "margin": "margin γ",
    "l2": "ℓ2 norm capacity",
    "l1_path": "ℓ1-path norm capacity",
    "l2_path": "ℓ2-path norm capacity",
    "spectral": "spectral norm capacity",
    "inverse_margin": "inverse squared margin γ⁻²",
    "parameters": "number of parameters",
    "sum_of_squares": "sum of squared weights",
    "frobenius_sum": "sum of squared Frobenius norms",
    "spectral_sum": "sum of squared spectral norms",
    "frobenius_over_spectral": "sum of stable ranks",
    "pac_bayes_spectral": "PAC-Bayes spectral capacity",
    "spectral_complexity": "spectral-complexity capacity",
    "distance_frobenius": "squared distance from initialisation",
    "distance_spectral": "squared spectral distance from initialisation",
    "sharpness": "sharpness",
    "sharpness_keskar": "sharpness over 1 + loss",
    "sharpness_m": "m-sharpness",
    "sharpness_m_l2": "m-sharpness in a ball",
    "expected_sharpness_alpha": "noise α at expected sharpness 0.05",
    "expected_sharpness_kl": "KL at expected sharpness 0.05",
    "expected_sharpness_kl_at_alpha": "KL at the noise asked for",
    "pac_bayes_bound": "right-hand side of equation (5), no guarantee",
    "pac_bayes_error_bound": "PAC-Bayes bound of the test error",
    "expected_sharpness": "expected sharpness",
}
_SUFFIXES = {
    "_unnormalized": "without the margin",
    "_operator": "operator view",
    "_maxpool": "largest path at max pooling",
    "_jiang2020": "γ of Jiang et al.",
    "_bound": "with the bound's constants",
    "_distance": "from initialisation",
    "_over_m": "√(· / m)",
    "_as_published": "as published",
}


_HEADS = {
    "checkpoint.file": "network",
    "recipe.hidden": "hidden",
    "recipe.subset": "subset",
    "recipe.confusion": "confusion",
    "recipe.depth": "depth",
    "recipe.lr": "lr",
    "outcome.confusion_error": "confusion error",
    "gap": "gap",
    "loss_gap": "loss gap",
    "margin": "margin",
    "l2": "l2",
    "l1_path": "l1-path",
    "l2_path": "l2-path",
    "spectral": "spectral",
    "inverse_margin": "inverse margin",
    "sharpness": "sharpness",
}
"""Heads of columns that differ from the words above and from the key itself."""
_EXPLANATIONS = {
    "recipe.subset": "images of the training set",
    "recipe.hidden": "units in each hidden layer",
    "recipe.confusion": "images of the confusion set, with random labels",
    "recipe.depth": "number of hidden layers",
    "outcome.train_error": "fraction of the training images that the network gets wrong",
    "outcome.test_error": "fraction of the test images that it gets wrong",
    "outcome.confusion_error": "fraction of the confusion set that it gets wrong",
    "outcome.train_loss": "mean cross-entropy of the training images",
    "outcome.test_loss": "mean cross-entropy of the test images",
    "n": "networks averaged, which differ in their seed alone; ± is their standard deviation",
    "gap": "test error less training error",
    "loss_gap": "test loss less training loss",
    "margin": "γ: at most a fraction ε of the training images has a smaller margin",
    "l2": "γ⁻² ∏ᵢ ‖Wᵢ‖_F², of Frobenius norms",
    "l1_path": "γ⁻² (Σ_paths ∏ |w|)²",
    "l2_path": "γ⁻² Σ_paths ∏ w²",
    "spectral": "γ⁻² ∏ᵢ ‖Wᵢ‖₂², of spectral norms",
    "expected_sharpness_alpha": "α at which noise of σ = α (10|w| + 1) raises the loss by 0.05",
    "expected_sharpness_kl": "KL term Σ w²/(2σ²) at that α",
    "expected_sharpness": "mean rise of the training loss under noise of that α",
    "expected_sharpness_kl_at_alpha": "KL term Σ w²/(2σ²) at the α asked for",
    "pac_bayes_bound": "right-hand side of the paper's equation (5), least over α; no guarantee: "
    "the loss is unbounded, the prior depends on w",
    "pac_bayes_error_bound": "bound of the test error under weight noise; holds with probability "
    "1 − δ",
    "hessian_top_eigenvalue": "largest eigenvalue of the Hessian of the training loss",
    "hessian_trace": "trace of that Hessian, estimated",
    "pac_bayes_sigma": "σ of the weight noise that costs 0.1 of the training accuracy",
    "pac_bayes_sigma_magnitude": "the same with noise in proportion to each weight",
    "pac_bayes_init": "‖w − w⁰‖² / (4σ²) + ln(m/σ) + 10; Jiang et al., equation 48",
    "pac_bayes_orig": "‖w‖² / (4σ²) + ln(m/σ) + 10; equation 49",
    "pac_bayes_magnitude_init": "the magnitude-aware bound around w⁰; equation 56",
    "pac_bayes_magnitude_orig": "the magnitude-aware bound around 0; equation 57",
    "sharpness_alpha": "α of the box |νᵢ| ≤ α in which a point costs 0.1 of the accuracy",
    "sharpness_alpha_magnitude": "the same of the box |νᵢ| ≤ α |wᵢ| + 0.001",
    "sharpness_init": "‖w − w⁰‖² ln(2ω) / (4α²) + ln(m/σ) + 10; equation 51",
    "sharpness_orig": "‖w‖² ln(2ω) / (4α²) + ln(m/σ) + 10; equation 52",
    "sharpness_magnitude_init": "the magnitude-aware bound around w⁰; equation 59",
    "sharpness_magnitude_orig": "the magnitude-aware bound around 0; equation 60",
    "sharpness_m": "sharpness of each mini-batch of 128 alone, averaged",
    "sharpness_m_l2": "the same in a Euclidean ball, ‖ν‖ at most ρ",
    "sharpness_magnitude": "adaptive sharpness: each weight moves by at most α |w|",
    "layer.channels": "output channels of the kernel",
    "layer.units": "all output units",
    "layer.frobenius": "‖W‖_F of the kernel as a matrix",
    "layer.spectral": "‖W‖₂ of the kernel as a matrix",
    "layer.frobenius_operator": "‖A‖_F of the layer as a linear map of whole images",
    "layer.spectral_operator": "‖A‖₂ of that map, to a relative 1e-6",
    "layer.spectral_operator_upper": "proven upper bound of that",
    "layer.spectral_operator_error": "its relative error",
    "layer.spectral_operator_residual": "how far its vector is from a singular vector, relative",
    "sharpness": "largest rise of the training loss, each w moved by at most α (|w| + 1)",
}


def words(key: str) -> str:
    """Return the words for a key on an axis: of a measure without any, those of its name.

    A key of a part of the record, with a dot, is left as it is.
    """
    if key in _WORDS:
        return _WORDS[key]
    for suffix, meaning in _SUFFIXES.items():
        if key.endswith(suffix) and (words_before := words(key.removesuffix(suffix))):
            joint = ", " if "(" in words_before else " ("
            return f"{words_before.removesuffix(')')}{joint}{meaning})"
    return key if "." in key else key.replace("_", " ")


def head(key: str) -> str:
    """Return the head of a key's column: a few words of plain text."""
    part, _, rest = key.partition(".")
    if part == "log10":
        return f"log10 {head(rest)}"
    if part == "outcome" and key in _WORDS:
        return _HEADS.get(key, _WORDS[key])
    return _HEADS.get(key) or (rest or key).replace("_", " ")


def explanation(key: str) -> str:
    """Return what a column holds in one line; empty where its head says it all."""
    part, _, rest = key.partition(".")
    if part == "log10":
        return f"decimal logarithm of {head(rest)}: {explanation(rest) or words(rest)}"
    text = _EXPLANATIONS.get(key) or words(key)
    return "" if text in (key, head(key)) else text
