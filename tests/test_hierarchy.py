"""Three planning layers: each binds the next, nobody looks ahead, and what they earn is near what is known to be best."""

import json
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import invbench
from omegaconf import OmegaConf

from invbench import configs, problem, rolling, run
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.keys import root
from invbench.methods import base_stock
from invbench.networks import distribution, facilities, generated
from invbench.planners import hierarchy
from invbench.planners.solve import Infeasible
from invbench.problem import Problem
from invbench.scenarios import profile
from invbench.types import Policy

RATES = dict(price=20.0, purchase=10.0, holding=0.5, shortage=10.0, fixed_order=5.0, salvage=0.0)
HORIZON = 70


def posed(network, *, lead_time=1, annual=0.0, capacity=None, cv=0.2, backlog=False):
    """Demand of the network's customers, lost where there is no stock; nothing is anywhere at first."""
    size = network.shape[1]
    shape = dict(annual=annual, weekly=0.1, trend=0, distribution="normal", noise="proportional")
    process = profile.create(mean=50, cv=cv, items=size, **shape)
    stocking = single.create(lead_time=lead_time, backlog=backlog, capacity=capacity)
    parts = distribution.placed(network, process, stocking, CostModel(**RATES))
    given = dict(information="known", history=0, window=14, horizon=HORIZON, seed=0, evaluation_seed=0)
    return problem.create(*parts, **given, network=network)


def alone(lead_time=1, items=1):
    """A stocking point without a network."""
    shape = dict(annual=0, weekly=0.1, trend=0, distribution="normal", noise="proportional")
    process = profile.create(mean=50, cv=0.2, items=items, **shape)
    return Problem(process, single.create(lead_time=lead_time, backlog=False), CostModel(**RATES), HORIZON, 0, 0, 0)


def up_to(levels):
    return Policy({"level": jnp.asarray(levels)}, base_stock.order_up_to)


@lru_cache
def small(tightness=None):
    return generated.load(sites=5, customers=8, seed=3, tightness=tightness, transport=0.02)[0]


def made(**changes):
    given = _plain("method", "hierarchical") | {"planner": _plain("planner", "strategic"), "every": 14}
    return run.build(given | changes)


def _plain(group, name):
    plain = OmegaConf.to_container(OmegaConf.load(configs.home() / group / f"{name}.yaml"))
    return {field: value for field, value in plain.items() if field != "defaults"}


def fitted(given, **changes):
    return made(**changes).fit(given.for_fitting(), root(0, "method", "hierarchical"), lambda metrics, step: None)


def paths_of(given, n=6):
    return given.evaluation_paths(n)


def test_a_plan_that_is_never_changed_is_the_policy_itself():
    plain = alone(lead_time=2, items=2)
    policy, paths = up_to([180.0, 170.0]), plain.validation_paths(8)
    again = policy._replace(every=7, revise=_same)
    for one, two in zip(plain.simulate(policy, paths), plain.simulate(again, paths)):
        np.testing.assert_array_equal(one, two) if one is not None else None
    np.testing.assert_allclose(plain.benefit(policy, paths), plain.benefit(again, paths), rtol=1e-6)
    orders, flows = rolling.followed(plain.system, policy, paths)
    np.testing.assert_array_equal(orders.clip(0), flows.ordered)


def _same(params, observation):
    return params


def test_revisions_come_when_they_are_due_and_see_the_past_alone():
    seen = []

    def revise(params, observation):
        seen.append((int(observation.time), np.asarray(observation.on_hand)))
        return params

    given = posed(small())
    policy = fitted(given, tactical="rule")._replace(every=20, revise=revise)
    given.simulate(policy, paths_of(given))
    assert [time for time, _ in seen] == [0, 20, 40, 60] and seen[0][1].shape == (6, 13)


@pytest.mark.parametrize("backlog", [False, True])
def test_nobody_looks_ahead(backlog):
    """Demand after a period changes no order up to it."""
    given = posed(small(2.0), backlog=backlog)
    policy, paths, last = fitted(given), paths_of(given), 40
    other = paths._replace(demand=jnp.asarray(np.asarray(paths.demand)).at[last:].multiply(0.3))
    first, second = (np.asarray(rolling.followed(given.system, policy, one)[0]) for one in (paths, other))
    np.testing.assert_array_equal(first[: last + 1], second[: last + 1])
    assert not np.array_equal(first[last + 1 :], second[last + 1 :])


def test_each_layer_binds_the_next():
    """Closed sites are never used; open ones send, store and serve what the tactical plan allows."""
    network = small(2.0)
    given = posed(network, annual=0.3, capacity=400)
    policy = fitted(given)
    opened = np.asarray(policy.params["plan"]["opened"]) > 0
    assert 0 < opened.sum() < 5
    orders, flows = (jax.tree.map(np.asarray, part) for part in rolling.followed(given.system, policy, paths_of(given)))
    used, held, sold = flows.used[..., 8:], flows.held[..., 8:], flows.sold[..., :8]
    assert not used[..., ~opened].any() and used[..., opened].any()
    ways, share = distribution.links(network), orders[..., 5:]
    assert not share[..., ~opened[ways.site]].any()
    assert held.max() <= 400 * (1 + 1e-5)
    assert sold.sum(-1).max() <= network.capacity[opened].sum() * (1 + 1e-5)
    near = np.argsort(distribution.rates(network)[opened], axis=0)[:1]
    share = np.asarray(rolling.followed(given.system, fitted(given, near=1), paths_of(given))[0])[..., 5:]
    nearest = np.flatnonzero(opened)[near[0]][ways.customer] == ways.site
    assert not share[..., ~nearest].any()


def test_a_stricter_design_leaves_less_to_the_layers_below():
    given = posed(small())
    spent = lambda **changes: small().fixed[np.asarray(fitted(given, **changes).params["plan"]["opened"]) > 0].sum()  # noqa: E731
    wide = spent()
    assert small().fixed.min() <= spent(planner=_planner(float(wide) - 1)) < wide


def _planner(budget):
    return _plain("planner", "strategic") | {"budget": budget}


def test_one_site_and_one_customer_are_a_stocking_point():
    """What the operational layer orders earns as much as the best order-up-to level of all, found on the very paths."""
    network = facilities.create(
        name="one", demand=[50.0], capacity=[np.inf], fixed=[0.0], cost=[[0.0]], sites=["a"], customers=["b"]
    )
    given = posed(network)
    given = replace(given, cost=replace(given.cost, fixed_order=0.0))
    paths = paths_of(given, 200)
    earned = float(np.asarray(given.benefit(fitted(given, strategic="rule"), paths)).sum(1).mean())
    point = replace(alone(), scenario=given.scenario, cost=replace(alone().cost, fixed_order=0.0))
    levels = [float(np.asarray(point.benefit(up_to([level]), paths)).mean()) for level in np.arange(90.0, 140, 2)]
    assert earned >= 0.999 * max(levels)  # levels move with the week, so that it may be more


def test_stock_is_built_up_before_what_can_be_bought_falls_short():
    """Demand of 100 a period in the last month, of which 75 can be bought: the month before buys the rest ahead."""
    network = facilities.create(
        name="one", demand=[50.0], capacity=[np.inf], fixed=[0.0], cost=[[0.0]], sites=["a"], customers=["b"]
    )
    given = posed(network)
    given = replace(given, system=replace(given.system, arc_throughput=np.asarray([75.0, np.inf], np.float32)))
    daily, known = np.repeat([[50.0], [100.0]], 14, axis=0), hierarchy.tactics(given, np.ones(1, bool), hierarchy.money(given), 1)
    rolling_plan, demand, days = hierarchy.programme(known, daily, 14, 2)
    month = hierarchy.first_month(rolling_plan, demand, np.zeros(1), days)
    np.testing.assert_allclose(month.stock, [25 * 14])
    np.testing.assert_allclose(month.share, [[1]])
    np.testing.assert_allclose(month.worth, [0])  # what falls short is buying, not sending
    params = fitted(given, strategic="rule").params | {"stock": jnp.asarray([350.0]), "days": jnp.asarray([14.0])}
    calm = params | {"stock": jnp.zeros(1)}
    held = lambda one: given.simulate(Policy(one, hierarchy.by_programme), paths_of(given)).held  # noqa: E731
    ends = [np.asarray(held(one))[:, 13, 1].mean() for one in (params, calm)]
    assert ends[0] > 0.9 * 13 * 25 and ends[1] < 100  # from the second day on 25 a day can be kept


def test_a_month_that_the_horizon_cuts_short_has_its_own_days():
    """Half a month of demand is half a month's sending, not a month's at half the pace."""
    given = posed(small(), annual=0.0)
    known = hierarchy.tactics(given, np.ones(5, bool), hierarchy.money(given), 1)
    daily = np.tile(small().demand, (21, 1))
    rolling_plan, demand, days = hierarchy.programme(known, daily[14:], 14, 2)
    assert days == 7 and demand[1].sum() == 0
    month = hierarchy.first_month(rolling_plan, demand, np.zeros(5), days)
    np.testing.assert_allclose(month.daily.sum(), small().demand.sum())
    served = np.asarray(given.simulate(fitted(given, every=60), paths_of(given)).sold)[..., :8].sum(-1)  # 60 days, then 10
    assert served[:, 61:].mean() > 0.97 * served[:, 10:60].mean()


def test_rules_of_thumb():
    network = facilities.create(
        name="line", demand=[1.0, 5, 2], capacity=np.inf, fixed=0.0, cost=[[1.0, 50, 40], [30, 5, 20], [40, 10, 2]], sites="abc",
    )  # fmt: skip
    np.testing.assert_array_equal(hierarchy.largest(network, 2), [False, True, True])
    np.testing.assert_array_equal(
        hierarchy.nearest_share(network, np.asarray([True, True, False])), [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    )
    load = np.arange(1.0, 6)[:, None]
    np.testing.assert_array_equal(hierarchy.cover(load, 1, 1)[:, 0], [6, 9, 12, 14, 15])  # three periods; the last goes on


@pytest.mark.parametrize(
    "field, value", [("strategic", "best"), ("every", 0), ("near", 1.5), ("learns", "yes"), ("days_of_supply", -1)]
)
def test_bad_fields(field, value):
    with pytest.raises(ValueError, match=f"method.{field} must be"):
        fitted(posed(small()), **{field: value})


def test_a_stocking_point_alone_is_refused():
    with pytest.raises(ValueError, match="network must be chosen for method=hierarchical"):
        made().fit(alone(), root(0, "any"), lambda metrics, step: None)


def test_networks_that_no_plan_serves():
    with pytest.raises(ValueError, match="network must be one where a site reaches every customer, got none to 2"):
        cost = [[1.0, np.inf], [1.0, np.inf]]
        posed(facilities.create(name="cut", demand=[1.0, 1], capacity=np.inf, fixed=1.0, cost=cost))
    tight = facilities.create(name="tight", demand=[5.0, 5], capacity=[4.0, 4], fixed=1.0, cost=[[1.0, 1], [1, 1]])
    with pytest.raises(Infeasible, match="the capacity of all sites is 8, demand is 10"):
        fitted(posed(tight))
    with pytest.raises(ValueError, match="system.batch must be null where there is a network, got 5.0"):
        distribution.system(small(), single.create(lead_time=1, backlog=False, batch=5))


JOB = [
    "method=hierarchical",
    "network=generated",
    "network.sites=4",
    "network.customers=6",
    "network.transport=0.02",
    "tracker=none",
]
JOB += ["evaluation.paths=8", "evaluation.validation_paths=8", "evaluation.horizon=30", "method.every=10"]


def folder_of(done):
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.rstrip("\n").splitlines()[-1])


def test_a_job_its_page_and_its_policy_judged_again(tmp_path):
    job = folder_of(invbench(tmp_path, *JOB))
    report = json.loads((job / "report.json").read_text())
    for name in ("network_map", "site_stock"):
        svg = (job / f"{name}.svg").read_text()
        assert svg.rstrip().endswith("</svg>") and min(map(float, re.findall(r"font-size: ([\d.]+)px", svg))) >= 11
    assert report["sites"]["mean"] > 0 and report["transport"]["mean"] > 0 and 0.5 < report["fill_rate"]["mean"] <= 1
    again = folder_of(invbench(tmp_path, "evaluate", f"policy={job / 'policy.safetensors'}", "tracker=none"))
    assert (again / "values.npz").read_bytes() == (job / "values.npz").read_bytes()
    sweep = folder_of(invbench(tmp_path, "-m", *JOB, "method=hierarchical,hierarchical_rules"))
    page = (sweep / "index.html").read_text()
    assert "The network on one path" in page and "Stock of the sites on one path" in page


@pytest.mark.parametrize(
    "overrides, sentence",
    [
        (["network.tightness=0.5"], "the capacity of all sites is"),
        (["system.batch=4"], "system.batch must be null where there is a network"),
        (["scenario=poisson"], "scenario must be one with a mean, as seasonal, where there is a network"),
    ],
)
def test_jobs_that_cannot_be_planned_say_why(overrides, sentence, tmp_path):
    done = invbench(tmp_path, *JOB, *overrides)
    assert done.returncode == 1 and sentence in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "method, sentence", [("hierarchical", "network must be chosen"), ("s_S", "method must be one for networks")]
)
def test_a_method_and_its_network(method, sentence, tmp_path):
    done = invbench(tmp_path, f"method={method}", "tracker=none", *(["network=generated"] if method == "s_S" else []))
    assert done.returncode == 1 and sentence in done.stderr and len(done.stderr.strip().splitlines()) == 1
