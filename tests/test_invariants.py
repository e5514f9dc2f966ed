"""What holds for every method, scenario and system that has a YAML: no look-ahead, one future for all, the same bytes again."""

from dataclasses import fields, replace
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from invbench import configs, problem, run
from invbench.costs import CostModel
from invbench.keys import named, root, stable_hash
from invbench.networks import distribution
from invbench.scenarios import shifted
from invbench.types import Policy

HORIZON, PATHS, ITEMS, CHANGED = 30, 20, 3, 12
SMALL = ("tuning.paths=64", "tuning.candidates=16", "tuning.rounds=1", f"scenario.items={ITEMS}")
BUDGETS = {  # a few updates: what holds for a learned method holds for a poorly learned one
    "hdpo": ("method.updates=20", "method.paths=8", "method.seeds=1", "method.validation_paths=16"),
}
BUDGETS["ppo"] = (
    "method.hidden=[16]", "method.lanes=24", "method.steps=8", "method.updates=8", "method.validations=2",
    "method.validation_paths=32", "method.members=1",
)  # fmt: skip
BUDGETS["deep_controlled_learning"] = (
    "method.generations=1", "method.states=1024", "method.paths=16", "method.periods=8", "method.updates=400",
    "method.hidden=[16]", "method.warm_up=10",
)  # fmt: skip
BUDGETS["dqn"] = BUDGETS["sac"] = (
    "method.hidden=[16]", "method.lanes=32", "method.rollouts=16", "method.updates=2", "method.batch=64", "method.memory=4096",
    "method.validations=2", "method.validation_paths=32", "method.members=1", "method.futures=0",
)  # fmt: skip
LAYERS = [name for name in configs.groups()["method"] if name.startswith("hierarchical")]
BUDGETS |= dict.fromkeys(LAYERS, ("method.every=10", "method.days_of_supply=5"))
BUDGETS["residual_rl"] = tuple(text.replace("method.", "method.learner.") for text in BUDGETS["hdpo"])
BUDGETS["imitation"] = ("method@method.learner=hdpo", *BUDGETS["residual_rl"])
BUDGETS["imitation"] += ("method.paths=16", "method.periods=16", "method.updates=50")
BUDGETS["lstm"] = BUDGETS["transformer"] = ("method.width=8", "method.paths=16", "method.updates=40", "method.batch=32")
BUDGETS["lstm_money"] = BUDGETS["transformer_money"] = (*BUDGETS["lstm"], "method.money_updates=10", "method.money_paths=8")
BUDGETS["generalist"] = (
    "method.lanes=8", "method.unroll=6", "method.updates=20", "method.validation_periods=20", "method.seeds=1",
    "method.hidden=[8]", "method.ranges.lead_times=[0,2]",
)  # fmt: skip
BUDGETS["online"] = BUDGETS["residual_rl"]
BUDGETS["ensemble"] = (*(text.replace("method.", "method.members.hdpo.") for text in BUDGETS["hdpo"]), "method.steps=2")
BUDGETS["ensemble"] += ("method.paths=32",)
BUDGETS["model_predictive"] = ("method.samples=8", "method.candidates=3", "method.rounds=1", "method.horizon=4")
BUDGETS["learned_s_S"] = (*BUDGETS["residual_rl"], *(text.replace("method.", "method.stock.") for text in BUDGETS["hdpo"]))
BUDGETS["bounded"] = tuple(text.replace("method.", "method.learner.") for text in BUDGETS["ppo"])
BUDGETS["multi_objective"] = BUDGETS["bounded"]
BUDGETS["constrained"] = ("method.target=0.2", "method.share=0.5", "method.paths=64", "method.rounds=2")
BUDGETS["risk_averse"] = ("method.paths=64", "method.rounds=1", "method.tuning.paths=64", "method.tuning.rounds=1")
KNOWS_PATHS = {"clairvoyant"}  # the bound: it is given the paths, so it is no method
GROUPS = configs.groups()
OUTSIDE = {"stable_baselines3"}  # needs an extra, and one item
METHODS = sorted(set(GROUPS["method"]) - KNOWS_PATHS - OUTSIDE)
CASES = METHODS + ["forecast_base_stock, moving_average", "forecast_base_stock, weekday"]  # method, forecaster
SYSTEMS = {name: () for name in GROUPS["system"]}  # overrides
SYSTEMS["random_lead_time"] = ("system.lead_time=2", "system.lead_time_distribution=[0.1,0.4,0.5]")
SYSTEMS["perishable"] = ("system.maximum_order=9", "cost.fixed_order=0")
SYSTEMS["serial"] = ("scenario.items=1", "cost=serial")  # one product; its stages take the place of items
SYSTEMS["network"] = ("scenario.items=4", "cost=network")  # its four customers; orders are those of arcs
SYSTEMS["facilities"] = ("network=generated", "network.sites=4", "network.customers=5", "scenario.items=5")
SYSTEMS["facilities"] += ("network.tightness=null", "network.transport=0.02")  # a site that sends all it can feels no demand
SINGLE = ("lost_sales", "random_lead_time")  # systems of a method that names none: fitted to the first, used with both
WHOLE = ("scenario=poisson", "scenario.mean=2")  # demand for methods that need whole units, or a system of their own
ROUNDED = {
    "lstm",
    "lstm_money",
    "transformer",
    "transformer_money",
    "model_predictive",
}  # long sums: another shape, another rounding
HEEDLESS = {"constant_order"}  # the same order, whatever happens


@lru_cache
def config_of(*overrides):
    with initialize_config_dir(str(configs.home()), version_base="1.3"):
        return compose("config", [*SMALL, *overrides])


def built(part, *overrides):
    """The object of one part of the config."""
    plain = OmegaConf.to_container(config_of(*overrides)[part], resolve=True)
    run.check_target(f"{part}._target_", plain["_target_"])
    return run.build(plain)


@lru_cache
def systems(case):
    """The systems that a method is for; those that plan a network get sites and customers."""
    if type(method_of(case)).__name__ == "Hierarchical":
        return ("facilities",)
    return tuple(getattr(method_of(case), "systems", SINGLE))


@lru_cache
def method_of(case):
    name, _, forecast = case.partition(", ")
    return built("method", f"method={name}", *BUDGETS.get(name, ()), *([f"forecast={forecast}"] if forecast else []))


def demand_for(case):
    """Overrides of the scenario that a method meets."""
    return WHOLE if hasattr(method_of(case), "systems") and systems(case) != ("facilities",) else ()


@lru_cache
def posed(system="lost_sales", scenario=(), information="known", seed=0, evaluation_seed=0, money=1):
    """A small problem; `money` multiplies every price."""
    given = ("system=lost_sales" if system == "facilities" else f"system={system}", *scenario, *SYSTEMS[system])
    rates = built("cost", *given).operations
    cost = CostModel(*(money * getattr(rates, field.name) for field in fields(rates)))
    rest = dict(information=information, history=120, window=56, horizon=HORIZON, seed=seed, evaluation_seed=evaluation_seed)
    parts = built("scenario", *given), built("system", *given), cost
    if system != "facilities":
        return problem.create(*parts, **rest)
    (network,) = built("network", *given)
    network = replace(network, fixed=money * network.fixed, cost=money * network.cost)
    return problem.create(*distribution.placed(network, *parts), network=network, **rest)


@lru_cache
def fitted(case, system="lost_sales", money=1):
    """The policy of a method; a method for single systems is fitted to lost sales, whatever it is used with."""
    own = system if hasattr(method_of(case), "systems") else SINGLE[0]
    made = posed(own, demand_for(case), money=money).for_fitting()
    return method_of(case).fit(made, root(0, "method", case), lambda metrics, step: None)


@lru_cache
def judged(system="lost_sales", scenario=()):
    return posed(system, scenario).evaluation_paths(PATHS)


def simulated(case, system="lost_sales", paths=None, **changes):
    """Flows of a fitted method, each [n, horizon, item]."""
    paths = judged(system, demand_for(case)) if paths is None else paths
    policy = fitted(case, system)._replace(**changes)
    return posed(system, demand_for(case)).simulate(policy, paths, root(0, "decide"))


usual = lru_cache(simulated)


def same(first, second):
    """Byte by byte."""
    jax.tree.map(np.testing.assert_array_equal, first, second)


PAIRS = [(case, system) for case in CASES for system in systems(case)]
BOUNDED = [(case, system) for case, system in PAIRS if "Single" in type(posed(system).system).__name__]  # the clairvoyant's
HOME = [(case, systems(case)[0]) for case in CASES]


# ---- no method may know what it cannot


def changed_after(paths, period):
    """The same until `period`, other demand from it on, and other lead times (of 0, 1, 2) after it."""
    time = jnp.arange(HORIZON)[:, None]
    delay = None if paths.delay is None else jnp.where(time > period, 2 - paths.delay, paths.delay)
    return paths._replace(demand=jnp.where(time[..., None] >= period, 3 * paths.demand + 7, paths.demand), delay=delay)


@pytest.mark.parametrize("case, system", PAIRS)
def test_nothing_is_ordered_for_what_is_not_known_yet(case, system):
    other = simulated(case, system, changed_after(judged(system, demand_for(case)), CHANGED)).ordered
    same(other[:, : CHANGED + 1], usual(case, system).ordered[:, : CHANGED + 1])
    felt = (np.asarray(other != usual(case, system).ordered)[:, CHANGED + 1 :]).any((1, 2))  # the change is felt, later
    least = 0.5 if case in BUDGETS else 1  # a coarse grid of orders, poorly learned, need not change on every path
    assert not felt.any() if case in HEEDLESS else felt.mean() >= least


def test_the_clairvoyant_is_the_one_that_looks_ahead():
    assert {name for name in GROUPS["method"] if getattr(built("method", f"method={name}"), "knows_paths", False)} == KNOWS_PATHS
    orders, other = (planned(paths).policy.params.orders for paths in (judged(), changed_after(judged(), CHANGED)))
    assert (orders[: CHANGED + 1] != other[: CHANGED + 1]).any()
    earned = posed().benefit(planned(judged()).policy, judged())
    np.testing.assert_allclose(earned, bound("lost_sales"), rtol=1e-4)  # its own orders are worth what it says


def planned(paths, system="lost_sales", scenario=()):
    return built("method", "method=clairvoyant").plan(posed(system, scenario), paths)


@lru_cache
def bound(system, scenario=()):
    return np.asarray(planned(judged(system, scenario), system, scenario).bound)


@pytest.mark.parametrize("case, system", BOUNDED)
def test_no_method_earns_more_than_the_clairvoyant_on_any_path(case, system):
    last = (jnp.arange(HORIZON) == HORIZON - 1)[:, None]
    benefit = np.asarray(posed(system).cost.charge(usual(case, system), last).benefit, np.float64).sum(1)
    most = bound(system, demand_for(case))
    assert (benefit <= most + 1e-4 * np.abs(most)).all()
    assert (benefit < most).any()


def test_the_clairvoyant_says_for_which_systems_it_is_a_bound():
    clairvoyant = built("method", "method=clairvoyant")
    known = {name for name in SYSTEMS if clairvoyant.covers(posed(name))}
    assert known == {"lost_sales", "backlog", "random_lead_time"}
    with pytest.raises(ValueError, match="^system must be"):
        planned(judged("dual_source"), "dual_source")


# ---- a method that learns from a history knows nothing else


LEARNERS = [case for case in CASES if case in BUDGETS and case not in LAYERS]


@lru_cache
def observed(at, scenario=(), information="history"):
    """A problem whose demand is three times as much from a period on."""
    made = shifted.create(base=built("scenario", *scenario), shift=2.0, at=at, items=ITEMS)
    given = made, built("system", *scenario), built("cost", *scenario).operations
    return problem.create(*given, information=information, history=120, window=56, horizon=HORIZON, seed=0, evaluation_seed=0)


def learned(case, at, **changes):
    """The policy of a method whose demand rises at a period."""
    made = observed(at, demand_for(case), **changes).for_fitting()
    return method_of(case).fit(made, root(0, "method", case), lambda metrics, step: None)


NEVER, NEXT = 10**6, 120  # periods: the latter is the first one after the history


@pytest.mark.parametrize("case", LEARNERS)
def test_what_is_learned_from_a_history_is_the_same_whatever_comes_after_it(case):
    policy = learned(case, NEVER)
    same(learned(case, NEXT).params, policy.params)
    made = observed(NEVER, demand_for(case))
    paths = made.evaluation_paths(PATHS)
    orders, other = (made.simulate(policy, one, root(0, "decide")).ordered for one in (paths, changed_after(paths, CHANGED)))
    same(other[:, : CHANGED + 1], orders[:, : CHANGED + 1])
    assert (other != orders).any()


def test_the_two_futures_of_a_history_are_two():
    first, second = observed(NEVER), observed(NEXT)
    same(first.history.sales, second.history.sales)
    earlier, later = (made.evaluation_paths(PATHS).demand for made in (first, second))
    np.testing.assert_allclose(later, 3 * earlier, rtol=1e-5)
    known = [learned("s_S", at, information="known").params for at in (NEVER, 15)]  # who knows the process knows of its rise
    assert any((np.asarray(one) != np.asarray(other)).any() for one, other in zip(*map(jax.tree.leaves, known), strict=True))


def test_methods_are_refused_the_paths_that_they_are_judged_on():
    for information in ("known", "history"):
        whole = posed(information=information)
        fitting = whole.for_fitting()
        with pytest.raises(ValueError, match="^evaluation paths must be left alone by methods"):
            fitting.evaluation_paths(PATHS)
        assert fitting.judged_on is None and whole.judged_on is not None
    assert not any(getattr(fitting, field.name) is whole.judged_on for field in fields(fitting))


# ---- the order of paths and items, and the unit of money, do not matter


@pytest.mark.parametrize("case, system", HOME)
def test_a_block_of_paths_is_the_paths_one_by_one_and_again_the_same(case, system):
    alone = simulated(case, system, elementwise=False)
    close = partial(
        np.testing.assert_allclose, rtol=1e-5, atol=1e-3
    )  # a millionth of a unit of a hundred, summed up over periods
    jax.tree.map(close, alone, usual(case, system)) if case in ROUNDED else same(alone, usual(case, system))
    same(simulated(case, system), usual(case, system))


def test_permuted_items_permute_orders_where_a_policy_treats_each_by_itself():
    turned = jnp.array([2, 0, 1])
    turn = partial(jax.tree.map, lambda leaf: leaf[..., turned] if leaf.shape[-1:] == (ITEMS,) else leaf)
    paths = judged()._replace(demand=turn(judged().demand), before=turn(judged().before))
    made = replace(posed(), system=replace(posed().system, initial_stock=posed().system.initial_stock[np.asarray(turned)]))
    elementwise = [case for case in CASES if systems(case) == SINGLE and fitted(case).elementwise]
    assert elementwise
    for case in elementwise:
        policy = fitted(case)._replace(params=turn(fitted(case).params))
        same(made.simulate(policy, paths), turn(usual(case)))
        assert case in HEEDLESS or not np.array_equal(usual(case).ordered[..., 0], usual(case).ordered[..., 1])


@pytest.mark.parametrize("case, system", HOME)
def test_twice_the_money_is_twice_the_value(case, system):
    demand, policy = demand_for(case), fitted(case, system)
    made = [posed(system, demand, money=money) for money in (1, 2)]
    once, twice = (np.asarray(one.benefit(policy, judged(system, demand), root(0, "decide"))) for one in made)
    np.testing.assert_array_equal(twice, 2 * once)


def test_twice_the_money_leaves_classical_orders_as_they_are():
    classical = [case for case in CASES if built("method", f"method={case.split(',')[0]}").family == "traditional"]
    assert classical
    for case in classical:
        home = systems(case)[0]
        same(simulated(case, home, params=fitted(case, home, money=2).params).ordered, usual(case, home).ordered)


# ---- randomness by name


def test_training_validation_and_evaluation_never_share_a_path():
    for information in ("known", "history"):
        made, key = posed(information=information), root(0, "method", "any")
        sets = [made.training_paths(key, 8), made.training_paths(root(0, "method", "other"), 8)]
        sets += [made.validation_paths(8), made.evaluation_paths(8)]
        assert len(np.unique(np.concatenate([np.asarray(one.demand)[:, :, 0] for one in sets], axis=1), axis=1).T) == 32
        for one in sets:
            assert one.demand.shape == (HORIZON, 8, ITEMS) and one.before.shape == (56, 8, ITEMS) and one.start == made.start


def hashes(seed, evaluation_seed):
    """Of validation, evaluation and training paths."""
    made = posed(seed=seed, evaluation_seed=evaluation_seed)
    sets = made.validation_paths(8), made.evaluation_paths(8), made.training_paths(root(seed, "method", "any"), 8)
    return [problem.paths_hash(paths) for paths in sets]


def test_paths_are_reproducible_and_moved_by_their_own_seed_alone():
    validation, evaluation, training = hashes(0, 0)
    posed.cache_clear()
    assert hashes(0, 0) == [validation, evaluation, training]
    other = hashes(1, 0)
    assert other[0] != validation and other[1] == evaluation and other[2] != training
    other = hashes(0, 1)
    assert other[0] == validation and other[1] != evaluation and other[2] == training


def test_another_name_moves_no_other_name():
    before = problem.paths_hash(posed().training_paths(root(0, "method", "one"), 8))
    assert problem.paths_hash(posed().training_paths(root(0, "method", "another"), 8)) != before
    assert problem.paths_hash(posed().training_paths(root(0, "method", "one"), 8)) == before
    same(*map(jax.random.key_data, (root(3, "method", "one"), named(named(jax.random.key(3), "method"), "one"))))
    # sha256("training") begins with these four bytes, read little-endian: the same on every machine, for ever
    assert stable_hash("training") == int.from_bytes(bytes.fromhex("c2fb788c"), "little")


def test_demand_given_as_an_array_meets_the_lead_times_of_evaluation():
    paths = judged("random_lead_time")
    given = posed("random_lead_time").as_paths(jnp.swapaxes(paths.demand, 0, 1))
    same(given.demand, paths.demand)
    assert not given.before.any() and given.before.shape == paths.before.shape and given.start == paths.start
    same(given.delay, paths.delay)


def test_the_hash_of_paths_sees_one_value():
    paths = posed("random_lead_time").evaluation_paths(8)
    others = [
        paths,
        paths._replace(demand=paths.demand.at[-1, -1, -1].add(1e-3)),
        paths._replace(before=paths.before.at[0, 0, 0].add(1e-3)),
        paths._replace(delay=paths.delay.at[3, 2].add(1)),
    ]
    assert len({problem.paths_hash(one) for one in others}) == 4


# ---- every YAML


PARTS = {"scenario": "paths", "cost": "of", "forecast": "fit", "tracker": "log"}  # and what each must be able to do


@pytest.mark.parametrize("group, name", [(group, name) for group in PARTS for name in GROUPS[group]])
def test_every_yaml_makes_its_object(group, name):
    if (group, name) == ("scenario", "history"):
        assert OmegaConf.missing_keys(OmegaConf.load(configs.home() / group / f"{name}.yaml")) == {"path"}
        return
    made = run.build(OmegaConf.to_container(OmegaConf.load(configs.home() / group / f"{name}.yaml")))
    assert callable(getattr(made, PARTS[group]))


@pytest.mark.parametrize("name", [name for name in GROUPS["system"] if name != "network"])  # that is test_network_dynamics.py
def test_every_system_keeps_its_units(name):
    demand = WHOLE if name == "serial" else ()
    policy = Policy({"level": jnp.full(1, 150.0)}, order_up_to)
    totals = posed(name, demand).totals(policy, judged(name, demand))
    last = posed(name, demand).simulate(policy, judged(name, demand)).held[:, -1]
    start = posed(name, demand).system.initial_stock
    gone = sent_on(posed(name, demand), policy, judged(name, demand)) if name == "serial" else totals.sold + totals.expired
    np.testing.assert_allclose(totals.received + start, gone + last, rtol=1e-5)
    assert (np.asarray(start) > 0).all()


def sent_on(made, policy, paths):
    """[n, stage] what each stage handed on: to customers, or down the chain (received there, or still on its way)."""
    flows = made.simulate(policy, paths)
    arrived = flows.received.sum(1) + flows.in_transit[:, -1]
    return jnp.concatenate([flows.sold.sum(1)[:, :1], arrived[:, :-1]], axis=1)


def order_up_to(params, observation, key):
    return params["level"] - observation.position
