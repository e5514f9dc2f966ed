"""One network for all weights of missed units: physics and money by hand, the newsvendor at each weight, one fit for all."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import invbench
from probes import ignore, lead_time, made, newsvendor, order, posed
from scipy import stats

from invbench import run
from invbench.dynamics import perishable, single
from invbench.formulas import underage
from invbench.keys import named, root
from invbench.learning import preferences
from invbench.learning.checkpoint import load_policy
from invbench.methods.bounded import Bounded
from invbench.methods.capped_base_stock import policy_of
from invbench.methods.multi_objective import told
from invbench.scenarios import poisson
from invbench.types import Policy

KEY = root(0, "method", "weights")
HDPO = {
    "_target_": "invbench.methods.hdpo.HDPO", "features": ["on_hand", "position"], "hidden": [16], "paths": 64, "warm_up": 0,
    "unroll": 8, "tail": 4, "restart": 0.1, "updates": 800, "learning_rate": 0.03, "clip": 1.0, "fixed_width": 0.5,
    "threshold": 0.6, "checkpoints": 2, "validation_paths": 256, "seeds": 1, "fast_mode": False,
    "tuning": {"_target_": "invbench.tuning.budget", "paths": 64, "candidates": 16, "rounds": 1},
}  # fmt: skip


DCL = {
    "generations": 1, "states": 1024, "paths": 16, "periods": 8, "updates": 400, "hidden": [16], "warm_up": 10,
    "tuning": HDPO["tuning"],
}  # fmt: skip


def weighing(**fields):
    """The method with a small HDPO inside, as its YAML has it but for `fields`."""
    return made("multi_objective", **({"learner": HDPO} | fields))


def ten_times_the_weight(params, observation, key):
    """Order up to ten times the weight that is seen."""
    return 10 * observation.weight - observation.position


class Told:
    """A learner that has learned to order by weight; counts its fits."""

    family, fits = "dl", 0
    POLICY = Policy({"nothing": jnp.zeros(1)}, ten_times_the_weight)

    def fit(self, problem, key, log):
        self.fits += 1
        return self.POLICY


def around(learner, monkeypatch, **fields):
    """The method around a learner that looks at weights already."""
    monkeypatch.setattr("invbench.methods.multi_objective.told", lambda learner: learner)
    return replace(weighing(**fields), learner=learner)


# ---- by hand


@pytest.mark.parametrize("lanes, items", [(64, 1), (7, 3), (256, 2)])
def test_weights_are_spread_evenly_also_over_any_part_of_the_lanes(lanes, items):
    problem = preferences.posed(posed(poisson.create(mean=5.0, items=items), single.create(lead_time=2, backlog=False)), 0.25, 16)
    weight = np.asarray(problem.system.initial(jnp.zeros((0, lanes, items)), 0, 0).weight)
    assert weight.shape == (lanes, items) and 0.25 <= weight.min() and weight.max() <= 16
    for part in (weight, weight[: lanes // 2], weight[lanes // 2 :]):
        share = np.sort(np.log(part / 0.25).ravel()) / np.log(64)
        even = (np.arange(share.size) + 0.5) / share.size
        assert np.abs(share - even).max() < 2.5 / share.size  # three distances: the points of a golden ratio


@pytest.mark.parametrize("backlog, shortage, unit", [(False, 10.0, 18.0), (False, 0.0, 8.0), (True, 10.0, 10.0)])
def test_a_missed_unit_costs_its_weight_times_what_it_costs(backlog, shortage, unit):
    """Price 12, purchase 4: a lost unit costs 8 and the shortage; one that is owed is sold later."""
    plain = posed(
        poisson.create(mean=5.0, items=1), single.create(lead_time=1, backlog=backlog),
        price=12.0, purchase=4.0, shortage=shortage, fixed_order=3.0,
    )  # fmt: skip
    problem = preferences.posed(plain, 0.1, 10)
    assert float(np.max(underage(plain.cost, backlog))) == unit
    state = problem.system.initial(jnp.zeros((0, 9, 1)), 0, 0)
    bare = plain.system.initial(jnp.zeros((0, 9, 1)), 0, 0)
    for asked, demand in ((6.0, 5.0), (2.0, 9.0), (0.0, 1.0)):
        demand = jnp.full((9, 1), demand)
        seen = problem.system.observe(state)
        np.testing.assert_array_equal(seen.weight, state.weight)
        state, flows = problem.system.transition(state, jnp.full((9, 1), asked), demand)
        bare, usual = plain.system.transition(bare, jnp.full((9, 1), asked), demand)
        for name in ("on_hand", "position", "pipeline", "time"):
            np.testing.assert_array_equal(getattr(state, name), getattr(bare, name))
        missed = usual.backlog if backlog else usual.lost
        wanted = plain.cost.charge(usual).benefit - (state.weight - 1) * unit * missed
        np.testing.assert_allclose(problem.cost.charge(flows).benefit, wanted, rtol=1e-5, atol=1e-4)


def test_at_weight_one_it_is_the_policy_and_the_weight_is_what_is_asked_for(monkeypatch):
    problem = newsvendor()
    method = around(Told(), monkeypatch)
    for weight in (0.5, 1, 3):
        policy = replace(method, weight=weight).fit(problem, KEY, ignore)
        assert order(policy, 0.0) == 10 * weight and order(policy, 2.0) == 10 * weight - 2
    front = method.front(problem, KEY, ignore)
    assert order(front(4), 0.0) == 40 and order(front(1000), 0.0) == pytest.approx(100)  # no further than it was trained for
    assert order(front(0.001), 0.0) == pytest.approx(1)


def test_states_that_keep_stock_outs_keep_weights_too():
    problem = preferences.posed(replace(newsvendor(), window=3), 0.5, 2)
    system = single.remembering(problem.system)
    state = system.initial(jnp.zeros((3, 4, 1)), 0, 3)
    after, _ = system.transition(state, jnp.zeros((4, 1)), jnp.ones((4, 1)))
    np.testing.assert_array_equal(after.misses.sum(0), 1)
    np.testing.assert_array_equal(after.weight, state.weight)
    assert type(after) is type(state)


# ---- known answers


def test_one_network_is_the_newsvendor_at_every_weight():
    """Order up to the quantile at weight x shortage / (weight x shortage + holding) (Arrow, Harris and Marschak 1951)."""
    problem = posed(poisson.create(mean=100.0, items=1), single.create(lead_time=0, backlog=False))
    front = weighing().front(problem, KEY, ignore)
    for weight in (0.1, 0.3, 1, 3, 10):
        best = stats.poisson(100).ppf(4 * weight / (4 * weight + 1))
        assert order(front(weight), 0.0) == pytest.approx(best, abs=4), weight


@pytest.mark.parametrize("name", ["ppo", "sac", "dqn", "deep_controlled_learning"])
def test_every_learner_orders_more_where_missed_units_weigh_more(name):
    small = {"members": 1, "lanes": 16, "hidden": [16], "validations": 2, "validation_paths": 64}
    small |= {"updates": 48, "steps": 16} if name == "ppo" else {"rollouts": 96, "futures": 0, "memory": 8192}
    small = DCL if name == "deep_controlled_learning" else small
    learner = made(name, features=["on_hand", "position"], **small)
    front = replace(weighing(), learner=learner).front(newsvendor(), KEY, ignore)
    orders = [order(front(weight), 0.0) for weight in (0.1, 1, 10)]
    assert orders[0] < orders[2] and orders == sorted(orders)
    assert not hasattr(learner, "weight") and learner.features == ["on_hand", "position"]


def test_a_fill_rate_is_held_by_one_fit_and_the_least_price_that_holds_it(monkeypatch):
    problem = newsvendor()
    learner = Told()
    method = made("constrained", inner=HDPO, target=0.98, paths=1000, rounds=10)
    method = replace(method, inner=around(learner, monkeypatch))
    policy = method.fit(problem, KEY, ignore)
    paths = problem.training_paths(jax.random.key(1), 20_000)

    def held(level):
        flows = problem.totals(policy_of(jnp.asarray([level]), jnp.asarray([1e9])), paths)
        return float(jnp.mean((flows.demand - flows.missed).sum(1) >= 0.98 * flows.demand.sum(1)))

    assert learner.fits == 1 and held(order(policy, 0.0)) > 0.94
    assert order(policy, 0.0) == 10  # which weight 1 orders already
    dearer = replace(method, target=0.9995)
    level = order(dearer.fit(problem, KEY, ignore), 0.0)
    assert learner.fits == 2 and 10 < level < 20
    with pytest.raises(ValueError, match="^method.target must be a fill rate that method.inner can hold"):
        replace(dearer, target=1.0, inner=replace(method.inner, weights=[0.5, 1.1])).fit(problem, KEY, ignore)


def test_seeds_side_by_side_come_to_what_each_comes_to():
    problem, keys = newsvendor(), jax.random.split(KEY, 2)
    inner = weighing(learner=HDPO | {"updates": 40})
    for method in (inner, made("constrained", inner=HDPO, target=0.5, paths=100)):
        method = replace(method, inner=inner) if method is not inner else method
        together = method.fit_seeds(problem, keys, ignore)
        assert order(together[0], 0.0) > 0
        for policy, key in zip(together, keys, strict=True):
            alone = method.fit_seeds(problem, key.reshape(1), ignore)[0]
            for one, other in zip(jax.tree.leaves(policy.params), jax.tree.leaves(alone.params), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_constrained_seeds_of_a_method_that_is_fitted_anew(monkeypatch):
    """The first fits are made side by side; each then has a price of its own."""

    class Several:
        calls = []

        def fit_seeds(self, problem, keys, log):
            self.calls.append((len(keys), float(problem.cost.shortage)))
            fractile = problem.cost.shortage / (problem.cost.shortage + problem.cost.holding)
            return [policy_of(jnp.asarray([stats.poisson(5).ppf(fractile)]), jnp.asarray([1e9])) for _ in keys]

    method = replace(made("constrained", inner=HDPO, target=0.98, paths=500, rounds=6), inner=Several())
    policies = method.fit_seeds(newsvendor(), jax.random.split(KEY, 2), ignore)
    assert Several.calls[0] == (2, 4.0) and all(count == 1 and price > 4 for count, price in Several.calls[1:])
    assert all(order(policy, 0.0) > 7 for policy in policies)  # 7 is best without a price


def test_bounds_and_imitation_may_be_inside():
    rule = policy_of(jnp.asarray([6.0]), jnp.asarray([3.0]))

    class Given:
        family = "traditional"

        def fit(self, problem, key, log):
            return rule

    quick = HDPO | {"updates": 20}
    learner = made("imitation", teacher=HDPO, learner=quick, paths=8, periods=16, updates=100, batch=32)
    inside = Bounded(Given(), replace(learner, teacher=Given()), below=1, above=1)
    front = replace(weighing(), learner=inside).front(lead_time(), KEY, ignore)
    assert all(0 <= order(front(weight), 6.0) <= 2 for weight in (0.1, 1, 10))  # the rule orders 0, a period's demand is 2
    assert told(inside).learner.learner.features == ["on_hand", "position", "weight"]


# ---- one sentence


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"weights": [1]}, "method.weights"),
        ({"weights": [2, 1]}, "method.weights"),
        ({"weights": [0, 1]}, "method.weights[0]"),
        ({"weight": 20}, "method.weight"),
        ({"weight": -1}, "method.weight"),
        ({"learner": HDPO | {"features": ["weigth"]}}, "method.features"),
        ({"learner": {"_target_": "invbench.methods.eoq.EconomicOrderQuantity", "periods": 28}}, "method.learner"),
    ],
)
def test_a_field_that_makes_no_sense_is_named(fields, field):
    with pytest.raises(ValueError) as refusal:
        weighing(**fields).fit(newsvendor(), KEY, ignore)
    assert str(refusal.value).startswith(f"{field} must be") and "\n" not in str(refusal.value)


def test_a_system_or_a_price_that_cannot_be_weighed_is_named():
    two = posed(poisson.create(mean=5.0, items=1), perishable.create(lead_time=0, life=2, issuing="fifo"))
    with pytest.raises(ValueError, match="^system must be lost_sales or backlog for multi_objective, got 'Perishable'$"):
        weighing().fit(two, KEY, ignore)
    owed = posed(poisson.create(mean=5.0, items=1), single.create(lead_time=0, backlog=True), shortage=0.0)
    with pytest.raises(ValueError, match="^cost.shortage must be > 0 where a missed unit costs nothing else, got 0.0$"):
        weighing().fit(owed, KEY, ignore)


def test_a_weight_is_no_feature_of_a_learner_alone():
    alone = run.build(HDPO | {"features": ["on_hand", "weight"]})
    said = "^method.features must be without weight: multi_objective adds it, got 'on_hand, weight'$"
    with pytest.raises(ValueError, match=said):
        alone.fit(newsvendor(), named(KEY, "alone"), ignore)


# ---- as a job


SMALL = [
    "method=multi_objective", "method@method.learner=hdpo", "scenario=poisson", "scenario.mean=5", "cost.fixed_order=0",
    "evaluation.paths=64", "evaluation.horizon=20", "evaluation.bound=null", "tracker=none", "tuning.paths=64",
    "tuning.candidates=16", "tuning.rounds=1", "method.learner.updates=20", "method.learner.paths=8", "method.learner.seeds=1",
    "method.learner.hidden=[8]", "method.learner.validation_paths=32",
]  # fmt: skip


def folder_of(tmp_path, *overrides):
    """Where a job's files are."""
    done = invbench(tmp_path, *overrides)
    assert done.returncode == 0, done.stderr
    return next(path for path in (tmp_path / "outputs").rglob("report.json") if str(path.parent.name) in done.stdout).parent


def test_the_front_is_taken_from_an_earlier_job_and_nothing_is_trained(tmp_path):
    first = folder_of(tmp_path, *SMALL)
    again = [*SMALL, f"method.policy={first / 'policy.safetensors'}"]
    same, more = folder_of(tmp_path, *again), folder_of(tmp_path, *again, "method.weight=10")
    found = [json.loads((folder / "report.json").read_text())["operating_benefit"] for folder in (first, same, more)]
    assert found[0] == found[1] != found[2] and len({first, same, more}) == 3
    weights = load_policy(more / "policy.safetensors").policy.params["weight"]
    np.testing.assert_array_equal(weights, 10)


@pytest.mark.parametrize(
    "given, said",
    [
        (["method.weight=5", "method.weights=[0.1,20]"], "method.weight must be within 0.5 … 2"),
        (["system.lead_time=4"], "system must show the policy a pipeline"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(tmp_path, given, said):
    file = folder_of(tmp_path, *SMALL, "method.weights=[0.5,2]") / "policy.safetensors"
    done = invbench(tmp_path, *SMALL, *given, f"method.policy={file}")
    assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr


def test_a_policy_of_another_method_is_refused(tmp_path):
    plain = [part for part in SMALL if not part.startswith("method")]
    file = folder_of(tmp_path, *plain, "method=base_stock") / "policy.safetensors"
    done = invbench(tmp_path, *SMALL, f"method.policy={file}")
    assert done.returncode != 0 and "method.policy must be one of multi_objective" in done.stderr
