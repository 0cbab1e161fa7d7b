"""Averages are over the seed alone: networks that differ in anything else are never joined."""

import math
from dataclasses import fields
from itertools import combinations

import pytest
from helpers.records import record
from hypothesis import given, settings
from hypothesis import strategies as st

from gentool.common.errors import GentoolError
from gentool.records.averaging import (
    NotAlikeError,
    average,
    check_measured_alike,
    check_one_group,
    differing,
    seed_groups,
)
from gentool.records.measure_file import lookup, merge
from gentool.records.recipe import REGARDLESS_OF_EPOCHS, Recipe

DRAWN = ("seed", "digest", "initial_digest")  # the last two follow from the draws of the seed
FOREIGN = ("origin",)  # of networks of other programs alone, which are never averaged
FIELDS = [field.name for field in fields(Recipe) if field.name not in DRAWN + FOREIGN]
VALUES = st.one_of(
    st.none(), st.booleans(), st.sampled_from([0, 1, 0.5, 2.5]), st.sampled_from(["a", "layers"])
)
COMMAND = st.fixed_dictionaries(
    {"name": st.just("sharpness")},
    optional={
        "alpha": st.sampled_from([[0.0005], [0.005]]),
        "method": st.sampled_from(["default", "pga"]),
        "protocol": st.sampled_from([None, "keskar2017"]),
        "units": st.sampled_from([None, 100.0]),
        "unheard_of": st.booleans(),
    },
)


def network(seed=0, sha256=None, command=None, stopped=None, **recipe):
    """Return a record with sharpness; keywords change the recipe of an MLP."""
    recipe = {"model": "mlp", "data": "digits", "labels": "true", "subset": 100} | recipe
    made = record(sha256 or str(seed), recipe=recipe | {"seed": seed}, sharpness=1.0, l2=2.0)
    made["command"] = command or made["command"]
    made["sharpness"] = {"points": [{"stopped": stopped}]}
    return made


@st.composite
def networks(draw):
    """Return up to eight networks whose recipes, commands and searches differ in a few places."""
    recipe = draw(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5))
    others = st.dictionaries(st.sampled_from([*FIELDS, "new_field"]), VALUES, max_size=2)
    kinds = draw(st.lists(st.tuples(others, COMMAND), min_size=1, max_size=3))
    drawn = draw(
        st.lists(
            st.tuples(
                st.integers(0, 2), st.sampled_from(kinds), st.sampled_from([None, None, "time"])
            ),
            max_size=8,
        )
    )
    return [
        network(seed, f"{i}", command, stopped, **recipe | other)
        for i, (seed, (other, command), stopped) in enumerate(drawn)
    ]


def described(record):
    """Return all that two averaged networks must share; None, and absent, are the same."""
    recipe = {k: v for k, v in record["recipe"].items() if v is not None and k != "seed"}
    command = {k: v for k, v in record["command"].items() if v is not None}
    command.setdefault("method", "default")  # as files of the first version mean
    recipe.setdefault("init", "uniform" if recipe.get("batch_norm") is True else "he")
    if recipe.get("fingerprint"):
        recipe["data"] = recipe.pop("fingerprint")
    return repr(sorted(recipe.items())), command, record["sharpness"]["points"][0]["stopped"]


@settings(max_examples=300, deadline=None)
@given(networks())
def test_an_average_never_joins_networks_that_differ_in_more_than_the_seed(records):
    """Whatever field, known or new, setting, or end of the search; merged or not."""
    for given_records in (records, merge(records)):
        groups = seed_groups(given_records, "sharpness")
        members = [member for group in groups for member in group.networks]
        assert len(members) == len(records)
        for group in groups:
            for one, other in combinations(group.networks, 2):
                assert described(one) == described(other)
                assert one["recipe"]["seed"] != other["recipe"]["seed"]
                assert one["recipe"]["model"] != "layers"


@pytest.mark.parametrize("field", [*FIELDS, "a_new_field"])
def test_two_values_of_any_field_are_two_groups(field):
    assert len(seed_groups([network(0, **{field: 1}), network(1, **{field: 2})])) == 2


def test_seeds_of_one_recipe_are_one_group():
    """The digests of the subset and of the initial weights differ from seed to seed."""
    records = [network(seed, digest=f"{seed}", initial_digest=f"{seed}") for seed in range(3)]
    [group] = seed_groups(records, "l2")
    assert group.networks == records


def test_a_default_and_its_name_are_the_same():
    """`init` None is he, without batch norm; 1 is 1.0; an absent field is None."""
    records = [network(0, init=None, width=1), network(1, init="he", width=1.0, depth=None)]
    assert len(seed_groups(records)) == 1


def test_the_same_data_under_two_names_is_known_by_its_fingerprint():
    records = [network(0, data="a", fingerprint="f"), network(1, data="b", fingerprint="f")]
    assert len(seed_groups(records)) == 1
    records = [network(0, data="a", fingerprint="f"), network(1, data="a", fingerprint="g")]
    assert len(seed_groups(records)) == 2
    with pytest.raises(NotAlikeError, match=r"recipe.data \(f, g\)"):
        check_one_group(records)


def test_checkpoints_of_one_training_are_not_averaged():
    """Three files of one recipe and one seed."""
    records = [network(0, sha256=f"{epoch}") for epoch in range(3)]
    assert len(seed_groups(records)) == 3
    with pytest.raises(GentoolError, match=r"differ in more than .*; give one of them"):
        check_one_group(records)


@pytest.mark.parametrize("recipe", [None, {"model": "layers", "data": "mnist", "seed": 0}])
def test_networks_of_other_programs_are_never_averaged(recipe):
    records = [record(str(i), recipe=recipe and recipe | {"seed": i}, l2=1.0) for i in range(3)]
    assert len(seed_groups(records, "l2")) == 3


def test_settings_of_another_measure_do_not_matter():
    """Sharpness at two α; the l2 norms of the same records are alike."""
    records = [network(i, command={"name": "sharpness", "alpha": [i]}) for i in (1, 2)]
    assert len(seed_groups(records, "sharpness")) == 2
    assert len(seed_groups(records, "l2")) == 1
    with pytest.raises(NotAlikeError, match="sharpness has several values of alpha: 1, 2"):
        check_measured_alike(records, "sharpness")


def test_a_merged_record_knows_the_settings_of_each_value():
    """l2 at ε 0.05 from one file, spectral at ε 0.5 from another one of the same checkpoint."""
    for order in (1, -1):
        files = []
        for name, epsilon in (("l2", 0.05), ("spectral", 0.5)):
            made = record(recipe={"seed": 0}, **{name: 1.0})
            files.append(made | {"command": {"name": "measure", "epsilon": epsilon}})
        other = record("b", recipe={"seed": 1}, l2=1.0, spectral=1.0)
        other["command"]["epsilon"] = 0.05
        records = merge([*files[::order], other])
        assert len(seed_groups(records, "l2")) == 1
        assert len(seed_groups(records, "spectral")) == 2


@pytest.mark.parametrize(
    ("errorbar", "half"),
    [("sd", 1.0), ("se", 1 / math.sqrt(3)), ("ci95", 4.302652729911275 / math.sqrt(3)), (None, 1)],
)
def test_the_bar_of_three_values(errorbar, half):
    """1, 2 and 3: mean 2, standard deviation 1; t with two degrees of freedom is 4.3027."""
    bar = average([1.0, 2.0, 3.0], errorbar)
    assert (bar.mean, bar.n) == (2.0, 3)
    assert (bar.low, bar.high) == (pytest.approx(2 - half), pytest.approx(2 + half))


@pytest.mark.parametrize(
    ("values", "errorbar", "ends"),
    [
        ([1.0, 3.0], None, (None, None)),
        ([1.0, 3.0], "minmax", (1.0, 3.0)),
        ([1.0, 3.0], "none", (None, None)),
        ([1.0], "sd", (None, None)),
        ([1.0], "minmax", (None, None)),
    ],
)
def test_few_values_have_no_bar_unless_it_is_asked_for(values, errorbar, ends):
    bar = average(values, errorbar)
    assert (bar.low, bar.high) == ends


def trained(epochs, limit, *, met, seed=0, **recipe):
    """Return a record of a training that ended after `epochs` of at most `limit`."""
    recipe = {"schedule": "on-stall"} | recipe
    made = network(seed, f"{epochs} {limit} {met} {seed} {recipe}", epochs=limit, **recipe)
    return made | {"outcome": {"epochs": epochs, "stop_rule_met": met, "gave_up": False}}


def sizes(records, **options):
    return [len(group.networks) for group in seed_groups(records, **options)]


def test_a_limit_on_epochs_that_was_not_reached_is_no_difference():
    below = [trained(50, 300, met=True), trained(60, 500, met=True, seed=1)]
    assert sizes(below) == [2]
    assert sizes([*below, trained(500, 500, met=False, seed=2)]) == [3]
    assert sizes([*below, trained(300, 300, met=False, seed=2)]) == [2, 1]
    assert sizes([trained(50, 300, met=False), trained(50, 500, met=True, seed=1)]) == [2]


def test_a_schedule_spread_over_the_epochs_makes_each_limit_a_difference():
    for schedule in ("cosine", "one-cycle", "unheard-of"):
        options = {"met": True, "schedule": schedule}
        assert sizes([trained(50, 300, **options), trained(60, 500, seed=1, **options)]) == [1, 1]


def test_the_schedules_that_no_limit_changes_are_those_that_are_not_spread():
    from gentool.training.schedules import SCHEDULES, SPREAD_OVER_EPOCHS

    assert set(REGARDLESS_OF_EPOCHS) == set(SCHEDULES.names) - set(SPREAD_OVER_EPOCHS)


def test_kinds_of_networks_share_a_limit_that_none_of_them_reached():
    """Two sizes trained with other limits are on one line; one that was cut off is not."""
    records = [trained(50, 300, met=True, hidden=8), trained(60, 500, met=True, hidden=16)]
    assert differing(seed_groups(records)) == ["recipe.hidden"]
    records.append(trained(300, 300, met=False, hidden=32))
    assert differing(seed_groups(records)) == ["recipe.hidden"]
    records.append(trained(400, 500, met=True, hidden=64))
    assert "recipe.epochs" in differing(seed_groups(records))


def test_initial_weights_that_a_recipe_leaves_out_are_shown_by_their_name():
    assert lookup(network(init=None), "recipe.init") == "he"
    assert lookup(network(init=None, batch_norm=True), "recipe.init") == "uniform"
    assert lookup(network(init="uniform"), "recipe.init") == "uniform"
    assert lookup(network(init=None, model="layers"), "recipe.init") is None
