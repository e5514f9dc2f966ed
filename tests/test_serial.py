"""Serial systems: stock by hand, beside queues and beside a single stage; the exact optimum, the beer game, the environment."""

from functools import lru_cache

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from scipy import stats

from invbench import configs, echelon, env, problem, published, replay, run  # noqa: F401 - env registers its ids
from invbench.costs import CostModel
from invbench.dynamics import serial, single
from invbench.evaluation import report
from invbench.formulas import Stationary
from invbench.methods.anchor_and_adjust import AnchorAndAdjust, anchor_and_adjust
from invbench.methods.base_stock import order_up_to
from invbench.methods.echelon_base_stock import EchelonBaseStock, order_up_to_echelon
from invbench.scenarios import given, normal, poisson
from invbench.types import Observation, Paths, Policy

BOOK = dict(holding=np.float32([7, 4, 2]), shortage=np.float32([37.12, 0, 0]), in_transit=np.float32([4, 2, 0]))  # Example 6.1


def ignore(metrics, step):
    pass


def rates(holding, shortage, in_transit=0.0, fixed_order=0.0):
    return CostModel(0.0, 0.0, holding, shortage, fixed_order, 0.0, in_transit=in_transit)


def posed(system, scenario=None, cost=None, horizon=30, window=0):
    sizes = dict(information="known", history=0, window=window, horizon=horizon, seed=0, evaluation_seed=0)
    return problem.create(scenario or poisson.create(mean=5, items=1), system, cost or rates(**BOOK), **sizes)


def scripted(params, observation, key):
    return params["orders"][observation.time]


def played(system, orders, demand):
    """Flows [period, stage] of orders [period, stage] on demand [period], and what was observed."""
    state, flows, seen = system.initial(jnp.zeros((3, 1)), 0, 3), [], []
    for order, units in zip(orders, demand, strict=True):
        seen.append(system.observe(state))
        state, happened = system.transition(state, jnp.asarray(order, jnp.float32), jnp.asarray([units], jnp.float32))
        flows.append(happened)
    return tuple(jax.tree.map(lambda *parts: np.stack(parts), *part) for part in (flows, seen))


# stock by hand


def test_two_stages_by_hand():
    """A shipment takes 1 period to stage 0 and 2 to stage 1; 5 and 3 units are there; demand is 4 in every period.

    0: stage 1 ships the 3 that it has of 4 and owes 1; 6 leave the outside for period 2; stage 0 sells 4 of 5.
    1: the 3 arrive and 4 are sold from 1 + 3; stage 1 has nothing and owes 1 + 4.
    2: the 6 arrive at stage 1, which ships the 5 that it owes and keeps 1; stage 0 has nothing and owes 4; 5 leave the outside.
    3: the 5 arrive at stage 0: 4 for those who wait and 1 of today's 4; stage 1 ships 1 of 2.
    """
    system = serial.create(lead_times=[1, 2], initial_stock=[5, 3])
    flows, seen = played(system, [[4, 6], [4, 0], [0, 5], [2, 0]], [4, 4, 4, 4])
    assert flows.received.tolist() == [[0, 0], [3, 0], [0, 6], [5, 0]]
    assert flows.held.tolist() == [[1, 0], [0, 0], [0, 1], [0, 0]]
    assert flows.backlog.tolist() == [[0, 1], [0, 5], [4, 0], [3, 1]]
    assert flows.in_transit.tolist() == [[3, 6], [0, 6], [5, 5], [1, 5]]
    assert flows.sold.tolist() == [[4, 0], [4, 0], [0, 0], [5, 0]]
    assert flows.missed.tolist() == [[0, 0], [0, 0], [4, 0], [3, 0]]
    assert flows.demand.tolist() == [[4, 0]] * 4 and not flows.lost.any() and not flows.expired.any()
    assert flows.placed.tolist() == [[1, 1], [1, 0], [0, 1], [1, 0]]
    # positions: + ordered - asked for, that is 4 at stage 0, and what stage 0 ordered at stage 1
    assert seen.position.tolist() == [[5, 3], [5, 5], [5, 1], [1, 6]]
    assert seen.on_hand.tolist() == [[5, 3], [4, -1], [0, 1], [1, 1]]  # once shipments have arrived
    assert seen.pipeline.tolist() == [[[0, 0]], [[0, 6]], [[0, 0]], [[0, 5]]]  # what arrives in the next period
    assert np.asarray(seen.ring[3]).tolist() == [[4, 4], [4, 4], [4, 0]]  # demand, and what stage 0 ordered


def test_orders_in_the_mail_by_hand():
    """Orders of stage 0 take a period; 3 units at each stage, a shipment of 1 to each under way, an order of 2 in the mail.

    0: each has 3 + 1; the 2 in the mail reach stage 1 and leave; stage 0 sells 1 and writes 4.
    1: the 2 arrive; the 4 reach stage 1, which ships its last 2 and owes 2.
    2: the 2 arrive; nothing more is asked for.
    """
    system = serial.create(
        lead_times=[1, 1], information_delays=[1, 0], initial_stock=3, initial_pipeline=1, initial_orders=[2, 0]
    )
    flows, seen = played(system, [[4, 0], [0, 0], [0, 0]], [1, 1, 1])
    assert flows.received.tolist() == [[1, 1], [2, 0], [2, 0]]
    assert flows.held.tolist() == [[3, 2], [4, 0], [5, 0]]
    assert flows.backlog.tolist() == [[0, 0], [0, 2], [0, 2]]
    assert seen.position.tolist() == [[3 + 1 + 2, 3 + 1], [9, 2], [8, -2]]
    assert system.observe(system.initial(jnp.zeros((0, 1)), 7, 0)).position.tolist() == [6, 4]  # wherever time starts


def test_what_takes_no_time_goes_down_the_whole_chain_in_the_period():
    system = serial.create(lead_times=[0, 0, 0], initial_stock=0)
    flows, _ = played(system, [[7, 7, 7], [0, 6, 9]], [5, 5])
    assert flows.received.tolist() == [[7, 7, 7], [0, 6, 9]]
    assert flows.held.tolist() == [[2, 0, 0], [0, 6, 3]]
    assert flows.backlog.tolist() == [[0, 0, 0], [3, 0, 0]] and not flows.in_transit.any()


# random orders, beside the same chain as queues

CHAINS = {
    "alike": dict(lead_times=[2, 2, 2]),
    "apart": dict(lead_times=[1, 3, 2], initial_stock=[4, 0, 9], initial_pipeline=[1, 2, 3]),
    "some at once": dict(lead_times=[0, 2, 0], initial_stock=3),
    "all at once": dict(lead_times=[0, 0], initial_stock=2),
    "mail": dict(
        lead_times=[1, 4, 0], information_delays=[2, 0, 1], initial_stock=5, initial_pipeline=2, initial_orders=[1, 0, 3]
    ),
    "one stage": dict(lead_times=[3], information_delays=2, initial_stock=5, initial_orders=1),
}


def queues(system, orders, demand):
    """Flows by name, each [period, stage], with a list for each queue."""
    stages, each = range(system.stages), lambda value: np.broadcast_to(value, system.stages).tolist()  # noqa: E731
    shelf, owed = each(system.initial_stock), [0.0] * system.stages
    ways = [[each(system.initial_pipeline)[j]] * system.lead_times[j] for j in stages]
    mails = [[each(system.initial_orders)[j]] * system.information_delays[j] for j in stages]
    found = {name: [] for name in ("received", "held", "backlog", "in_transit", "sold", "position")}
    for order, units in zip(orders, demand, strict=True):
        received, sold = [way.pop(0) if way else 0 for way in ways], 0
        on_order = [sum(ways[j]) + received[j] + sum(mails[j]) + (owed + [0])[j + 1] for j in stages]
        found["position"].append([shelf[j] - owed[j] + on_order[j] for j in stages])
        shelf = [shelf[j] + received[j] for j in stages]
        asked = [units]
        for j in stages:
            mails[j].append(order[j])
            asked.append(mails[j].pop(0))
        coming = asked[-1]
        for j in reversed(stages):
            if system.lead_times[j]:
                ways[j].append(coming)
            else:
                shelf[j], received[j] = shelf[j] + coming, received[j] + coming
            coming = min(shelf[j], owed[j] + asked[j])
            shelf[j], owed[j], sold = shelf[j] - coming, owed[j] + asked[j] - coming, coming
        found["received"].append(received)
        found["held"].append(list(shelf))
        found["backlog"].append(list(owed))
        found["in_transit"].append([sum(way) for way in ways])
        found["sold"].append([sold] + [0] * (system.stages - 1))
    return {name: np.asarray(values) for name, values in found.items()}


@lru_cache
def wandering(name, seed=0, periods=40):
    """A chain with random orders and demand."""
    generator, system = np.random.default_rng(seed), serial.create(**CHAINS[name])
    return system, generator.integers(0, 10, (periods, system.stages)), generator.integers(0, 10, periods)


@pytest.mark.parametrize("name", CHAINS)
def test_random_orders_are_shipped_as_in_queues(name):
    system, orders, demand = wandering(name)
    flows, seen = played(system, orders, demand)
    for field, expected in queues(system, orders, demand).items():
        np.testing.assert_array_equal(getattr(seen if field == "position" else flows, field), expected, err_msg=field)


@pytest.mark.parametrize("name", CHAINS)
def test_replay_of_blocks_and_the_settled_state_are_the_same_physics(name):
    system, orders, demand = wandering(name)
    paths = Paths(jnp.asarray(demand, jnp.float32)[:, None, None] * jnp.ones((1, 5, 1)), jnp.zeros((0, 5, 1)))
    policy = Policy({"orders": jnp.asarray(orders, jnp.float32)}, scripted)
    together = replay.flows(system, policy, paths)
    alone, _ = played(system, orders, demand)
    jax.tree.map(lambda block, one: np.testing.assert_array_equal(block, np.broadcast_to(one, block.shape)), together, alone)
    totals = replay.total(system, policy, paths, replay.identity)
    np.testing.assert_array_equal(totals.held, together.held.sum(1))
    state = system.initial(jnp.zeros((0, 1)), 0, 0)
    for order in orders[:7]:
        settled = system.settle(state)
        np.testing.assert_array_equal(settled.on_hand, system.observe(state).on_hand)
        np.testing.assert_array_equal(settled.on_hand + settled.pipeline.sum(0), state.on_hand + state.pipeline.sum(0))
        state, _ = system.transition(state, order, jnp.ones(1))


@pytest.mark.parametrize("name", CHAINS)
def test_units_balance_at_each_stage_and_in_the_chain(name):
    system, orders, demand = wandering(name, seed=1)
    flows, seen = played(system, orders, demand)
    first, on_its_way, mail = (
        np.asarray(part) for part in (system.initial_stock, system.initial_pipeline, system.initial_orders)
    )
    on_its_way, mail = on_its_way * np.asarray(system.lead_times), mail * np.asarray(system.information_delays)
    received, transit = flows.received.sum(0), flows.in_transit[-1]
    shipped = received + transit - on_its_way  # to each stage
    down = np.append(flows.sold.sum(), shipped[:-1])  # by each stage
    np.testing.assert_array_equal(first + received, down + flows.held[-1])
    np.testing.assert_array_equal(
        first.sum() + on_its_way.sum() + shipped[-1], flows.sold.sum() + (flows.held + flows.in_transit)[-1].sum()
    )
    asked = np.append(flows.demand.sum(), np.zeros(system.stages - 1))
    np.testing.assert_array_equal(flows.sold.sum() + flows.backlog[-1, 0], asked[0])
    if not any(system.information_delays):
        np.testing.assert_array_equal(flows.ordered.sum(0)[:-1], shipped[:-1] + flows.backlog[-1, 1:])
        # the echelon position is what is in the echelon or on its way there, or owed to it, less what is owed to customers
        stock = np.cumsum(flows.held + flows.in_transit, axis=1) - flows.backlog[:, :1]
        stock[:, :-1] += flows.backlog[:, 1:]
        np.testing.assert_array_equal(np.cumsum(seen.position, axis=1)[1:], stock[:-1])


@pytest.mark.parametrize("lead_time", [0, 1, 3])
def test_one_stage_is_a_single_stocking_point_with_backlog(lead_time):
    chain = serial.create(lead_times=[lead_time], initial_stock=12)
    alone = single.create(lead_time=lead_time, backlog=True, initial_stock=12)
    paths = posed(chain, window=4).evaluation_paths(50)
    policy = Policy({"level": jnp.float32([5.0 * lead_time + 6])}, order_up_to, window=4)
    ours, theirs = (replay.flows(system, policy, paths) for system in (chain, alone))
    assert ours.backlog.any() and ours.held.any()
    jax.tree.map(np.testing.assert_array_equal, ours._replace(in_transit=None), theirs)
    for field in ("on_hand", "position", "pipeline", "ring"):
        seen = [getattr(system.observe(system.initial(paths.before, 0, 4)), field) for system in (chain, alone)]
        np.testing.assert_array_equal(*seen)


def test_no_order_depends_on_demand_that_comes_later():
    made = posed(serial.create(lead_times=[1, 0, 2], initial_stock=10), window=6)
    policy = EchelonBaseStock().fit(made.for_fitting(), None, ignore)
    smooth = AnchorAndAdjust(20, 0.5, 0.7, 0.3, 5).fit(made.for_fitting(), None, ignore)
    paths = made.evaluation_paths(8)
    other = paths._replace(demand=paths.demand.at[12:].set(3 * paths.demand[12:] + 7))
    for rule in (policy, smooth):
        before, after = (made.simulate(rule, futures).ordered for futures in (paths, other))
        np.testing.assert_array_equal(before[:, :13], after[:, :13])
        assert (before[:, 13:] != after[:, 13:]).any()
        np.testing.assert_array_equal(made.simulate(rule._replace(elementwise=False), paths).ordered, before)


def test_stock_that_is_not_given_covers_the_lead_time_of_the_stage_and_a_period():
    made = posed(
        serial.create(lead_times=[1, 0, 2], initial_stock=None),
        scenario=given.create(values=[3, 4, 5, 6], after="hold", items=1),
    )
    assert made.system.initial_stock.tolist() == [3 + 4, 3, 3 + 4 + 5]


@pytest.mark.parametrize(
    "fields, sentence",
    [
        (dict(lead_times=[]), "system.lead_times must be a list with the lead time of each stage, got []"),
        (dict(lead_times=2), "system.lead_times must be a list with the lead time of each stage, got 2"),
        (dict(lead_times=[1, 0.5]), "system.lead_times[1] must be a whole number >= 0, got 0.5"),
        (
            dict(lead_times=[1], information_delays=[1, 2]),
            "system.information_delays must be one figure, or one for each of 1 stages, got [1, 2]",
        ),
        (dict(lead_times=[1, 1], initial_stock=[3, -1]), "system.initial_stock[1] must be a number >= 0, got -1"),
        (dict(lead_times=[1], initial_pipeline="4"), "system.initial_pipeline must be a number >= 0, got '4'"),
    ],
)  # fmt: skip
def test_chains_are_refused_by_name(fields, sentence):
    with pytest.raises(ValueError) as refusal:
        serial.create(**fields)
    assert str(refusal.value) == sentence


# the exact optimum


@lru_cache
def study(name, *overrides):
    configs.register()
    with initialize_config_dir(str(configs.home()), version_base="1.3"):
        config = compose("config", [f"+experiment={name}", *overrides])
    names = ("scenario", "system", "cost", "method", "problem", "evaluation", "study")
    plain = {part: OmegaConf.to_container(config[part], resolve=True) for part in names} | {"seed": config.seed}
    return run.build(plain["study"]), plain


PRINTED = published.read("clark_scarf")


@pytest.mark.parametrize("row", PRINTED, ids=lambda row: row["instance"])
def test_every_printed_chain(row):
    """Levels to 0.03: the recomputation of Problem 6.1 has a grid of 0.05."""
    instances = study("clark_scarf")[0].instances.values()
    found = next(one["chain"] for one in instances if one["printed"] == row["instance"]).optimum()
    assert found.cost == pytest.approx(float(row["verified"]), abs=5e-5)
    np.testing.assert_allclose(found.levels, [float(level) for level in row["verified_S"].strip("[]").split(",")], atol=0.03)


def test_the_study_has_all_rows_and_fails_on_a_figure_that_is_off(tmp_path, capsys):
    table, _ = study("clark_scarf")
    assert table.run(tmp_path, {}) == 0 and (tmp_path / "published.csv").exists()
    assert sorted(one["printed"] for one in table.instances.values()) == sorted(row["instance"] for row in PRINTED)
    known = {name for name, one in table.instances.items() if "note" in one}
    assert known == {"example_6_1_normal", "example_6_1_poisson", "problem_6_1", "problem_6_2a", "problem_6_2b"}
    assert [cell.instance for cell in table.cells({}) if cell.misprint] == [
        table.instances[name]["title"] for name in table.instances if name in known
    ]
    other, _ = study("clark_scarf", "study.instances.shang_song_1.chain.shortage=9.01")
    assert [(cell.instance, cell.quantity) for cell in other.cells({}) if cell.fails] == [("Shang and Song 2003, row 1", "cost")]


def normal_example(step):
    return echelon.normal_chain(lead_times=[1, 1, 2], holding=[3, 2, 2], shortage=37.12, mean=5, std=1, step=step)


def test_a_finer_grid_converges():
    costs = [normal_example(step).optimum().cost for step in (0.08, 0.04, 0.02, 0.01, 0.005, 0.0025)]
    error = np.abs(np.array(costs[:-1]) - costs[-1])
    assert np.all(error[2:] < error[:-2] / 4) and error[-1] < 1e-5


def test_an_optimum_beats_its_neighbours_and_costs_what_its_levels_cost():
    chain = echelon.poisson_chain(lead_times=[1, 1, 2], holding=[3, 2, 2], shortage=37.12, mean=5)
    levels, cost = chain.optimum()
    assert levels.tolist() == [9, 15, 26] and chain.cost(levels) == pytest.approx(cost, rel=1e-12)
    for stage in range(3):
        for change in (-1, 1):
            assert chain.cost(levels + change * (np.arange(3) == stage)) > cost
    assert chain.cost([9, 60, 26]) == pytest.approx(chain.cost([9, 40, 26]), rel=1e-9)  # the stage above never has so much


def test_bounds_and_heuristic_of_shang_and_song():
    """The heuristic for Example 6.1 is printed in stockpyl: 6.490880975286938, 12.027434723327854, 22.634032391786285."""
    chain = normal_example(0.002)
    np.testing.assert_allclose(chain.heuristic(), [6.490880975286938, 12.027434723327854, 22.634032391786285], atol=0.003)
    for one in study("clark_scarf")[0].instances.values():
        (low, high), (levels, cost) = one["chain"].bounds(), one["chain"].optimum()
        step = one["chain"].demand[0].step
        assert np.all(low - step <= levels) and np.all(levels <= high + step)
        assert np.abs(low[0] - levels[0]) <= step  # of stage 0 both are the best level
        assert cost <= one["chain"].cost(one["chain"].heuristic()) <= 1.01 * cost


def test_another_program_has_the_same_levels_and_cost_where_it_keeps_the_tails(monkeypatch):
    library = pytest.importorskip("stockpyl.ssm_serial")
    source = pytest.importorskip("stockpyl.demand_source").DemandSource

    def nearest(array, values, *rest):  # its own asks NumPy 2 for what it refuses
        found = np.clip(np.round((np.atleast_1d(values) - array[0]) / (array[1] - array[0])).astype(int), 0, len(array) - 1)
        return found if np.ndim(values) else int(found[0])

    monkeypatch.setattr(library, "find_nearest", nearest)
    tails = {f"{total}ltd_{end}_tail_prob": 1e-12 for total in ("", "sum_") for end in ("lower", "upper")}
    levels, cost = library.optimize_base_stock_levels(
        num_nodes=3, echelon_holding_cost=[2, 2, 3], lead_time=[2, 1, 1], stockout_cost=37.12,
        demand_source=source(type="P", mean=5), **tails,
    )  # fmt: skip
    found = study("clark_scarf")[0].instances["example_6_1_poisson"]["chain"].optimum()
    assert found.levels.tolist() == [levels[1], levels[2], levels[3]]
    assert found.cost == pytest.approx(cost, abs=1e-8)


@pytest.mark.parametrize("lead_time", [0, 2])
def test_one_stage_is_the_newsvendor_of_lead_time_and_a_period(lead_time):
    scenario = poisson.create(mean=5, items=1)
    made = posed(serial.create(lead_times=[lead_time], initial_stock=9), scenario, rates(1.0, 9.0))
    chain = echelon.chain(made, "any")
    levels, cost = chain.optimum()
    alone = Stationary(scenario.pmf(), lead_time, 1.0, 9.0, 0.0)
    assert levels.tolist() == [alone.base_stock()]
    assert cost == pytest.approx(alone.cost(alone.base_stock(), alone.base_stock())[0], rel=1e-9)
    assert echelon.average_cost(made, chain, levels) == cost
    low, high = chain.bounds()
    assert low.tolist() == high.tolist() == levels.tolist()


def simulated(made, policy, paths=4000, warm_up=30):
    """[path] average cost a period after the warm-up."""
    flows = made.simulate(policy, made.evaluation_paths(paths))
    return np.asarray(made.cost.charge(flows).cost, np.float64)[:, warm_up:].sum(-1).mean(1)


ROADS = {  # lead times, costs
    "Example 6.1": ([0, 1, 2], rates(**BOOK)),
    "zero in the middle": ([1, 0, 2], rates(**BOOK)),
    "another rate of transit": ([1, 2], rates(np.float32([3, 1]), np.float32([20, 0]), np.float32([0, 0.5]))),
}


@pytest.mark.parametrize("name", ROADS)
def test_simulation_and_formula_agree(name):
    """At the optimum and away from it, in the system's own timing."""
    lead_times, cost = ROADS[name]
    made = posed(serial.create(lead_times=lead_times, initial_stock=8), cost=cost, horizon=90)
    heard = {}
    policy = EchelonBaseStock().fit(made.for_fitting(), None, lambda metrics, step: heard.update(metrics))
    best, chain = np.asarray(policy.params["levels"], float), echelon.chain(made, "any")
    if name == "Example 6.1":  # 72.046741 of the book, less one period on the way to stage 0: 5 units at the 4 of stage 1
        assert best.tolist() == [9, 15, 26]
        assert heard["formula/average_cost"] == pytest.approx(72.046741 - 5 * 4, abs=1e-5)
    for change in (0, -1, np.array([2, 0, -3])[: len(best)]):
        levels = best + change
        found = simulated(made, policy._replace(params={"levels": jnp.asarray(levels, jnp.float32)}))
        expected, error = echelon.average_cost(made, chain, levels), stats.sem(found)
        assert error < 0.005 * expected
        assert abs(found.mean() - expected) < 3.5 * error


def test_candidates_and_single_policies_earn_the_same():
    made = posed(serial.create(lead_times=[1, 0, 2], initial_stock=10))
    levels = jnp.float32([[9, 15, 26], [14, 18, 30], [14, 14, 28]])
    paths = made.evaluation_paths(40)
    together = made.benefits(Policy({"levels": levels}, order_up_to_echelon), paths)
    assert together.shape == (3, 40, 3)
    for one, earned in zip(levels, together, strict=True):
        np.testing.assert_allclose(made.benefit(Policy({"levels": one}, order_up_to_echelon), paths), earned, rtol=1e-5)


def test_a_report_adds_up_the_stages():
    made = posed(serial.create(lead_times=[1, 1, 2], initial_stock=None), horizon=20)
    policy, paths = EchelonBaseStock().fit(made.for_fitting(), None, ignore), made.evaluation_paths(64)
    judged, flows = report.evaluate(made, policy, paths), made.simulate(policy, paths)
    assert judged.unit == "path" and judged.benefit.shape == (64,)
    np.testing.assert_allclose(
        judged.money["holding"], (flows.held @ BOOK["holding"] + flows.in_transit @ BOOK["in_transit"]).sum(1), rtol=1e-5
    )
    np.testing.assert_allclose(judged.money["shortage"], 37.12 * flows.backlog[..., 0].sum(1), rtol=1e-5)
    np.testing.assert_allclose(judged.counts["met"], flows.demand[..., 0].sum(1) - flows.missed[..., 0].sum(1))


def test_the_newsvendor_levels_are_a_choice():
    made = posed(serial.create(lead_times=[0, 1, 2], initial_stock=10))
    expected = echelon.chain(made, "any").heuristic().tolist()
    assert EchelonBaseStock("newsvendor").fit(made, None, ignore).params["levels"].tolist() == expected


CHAIN = serial.create(lead_times=[1, 1, 2], initial_stock=5)
OF = "for method echelon_base_stock"
REFUSED = [
    (dict(system=single.create(lead_time=1, backlog=True)), f"system must be serial {OF}, got 'Single'"),
    (
        dict(system=serial.create(lead_times=[1], information_delays=1)),
        f"system.information_delays must be 0 {OF}, got (1,)",
    ),
    (
        dict(scenario=normal.create(mean=9, std=1, items=1)),
        f"scenario must be whole-number demand of known probabilities {OF}, got 'Profile'",
    ),
    (
        dict(cost=rates(np.float32([1, 2, 0]), np.float32([9, 0, 0]))),
        f"cost.holding must be no lower at a stage than at the one above it, and > 0 at stage 0, {OF}, got [1.0, 2.0, 0.0]",
    ),
    (dict(cost=rates(1.0, 9.0)), f"cost.shortage must be > 0 at stage 0 and 0 above it {OF}, got [9.0, 9.0, 9.0]"),
    (
        dict(cost=rates(1.0, np.float32([9, 0, 0]), fixed_order=2.0)),
        f"cost.fixed_order must be 0 {OF}, got [2.0, 2.0, 2.0]",
    ),
]


@pytest.mark.parametrize("fields, sentence", REFUSED)
def test_what_the_books_do_not_solve_is_refused(fields, sentence):
    with pytest.raises(ValueError) as refusal:
        EchelonBaseStock().fit(posed(**({"system": CHAIN} | fields)), None, ignore)
    assert str(refusal.value) == sentence


# the beer game


def test_the_beer_game_costs_what_is_printed(tmp_path, capsys):
    """46, 50, 54 and 54 for retailer, wholesaler, distributor and factory, 204 in all: published/sterman1989.csv."""
    game, config = study("sterman1989")
    assert {cell.quantity: cell.ours for cell in game.cells(config)} == {
        row["stage"]: float(row["published"]) for row in published.read("sterman1989")
    }
    assert game.run(tmp_path, config) == 0
    other, config = study("sterman1989", "method.opening=4")
    assert other.run(tmp_path, config) == 1


def test_orders_of_anchor_and_adjust_by_hand():
    """Expected: 0.5 x 8 (last) + 0.25 x 4 (before) + 0.25 x 6 (at the start) = 6.5 at stage 0, and 10 at stage 1.

    Stage 0 has 3 and 12 - 3 = 9 on order: 6.5 + 0.5 x (20 - 3 - 0.2 x 9) = 14.1. Stage 1 has -2 and 40 on order, all of which
    counts: 10 + 1 x (20 + 2 - 40) = -8, so nothing. In the opening what is expected at the start is ordered.
    """
    made = posed(serial.create(lead_times=[1, 1], initial_stock=5), window=2)
    rule = AnchorAndAdjust(20, [0.5, 1], [0.2, 1], [0.5, 0], [6, 10], opening=3)
    policy = rule.fit(made, None, ignore)
    assert policy.window == 2 and policy.apply is anchor_and_adjust
    for time, orders in ((2, [6, 10]), (3, [14.1, 0])):
        ring = jnp.float32([[4, 9], [8, 9]])[jnp.asarray([time % 2, (time + 1) % 2])]  # slot time % 2 is the oldest
        seen = Observation(jnp.float32([3, -2]), jnp.float32([12, 38]), jnp.zeros((0, 2)), ring, jnp.asarray(time))
        np.testing.assert_allclose(policy.apply(policy.params, seen, None), orders, rtol=1e-6)


@pytest.mark.parametrize(
    "fields, sentence",
    [
        (dict(target=[1, 2]), "method.target must be one figure, or one for each of 3 stages, got [1, 2]"),
        (dict(adjustment=1.5), "method.adjustment must be a number >= 0 and <= 1, got 1.5"),
        (dict(smoothing=[0, 0.5, 0]), "problem.window must be > 0, or method.smoothing 0, got 0"),
        (dict(opening=-1), "method.opening must be a whole number >= 0, got -1"),
    ],
)
def test_anchor_and_adjust_is_refused_by_name(fields, sentence):
    usual = dict(target=20, adjustment=1, supply_line_weight=1, smoothing=0, expected=4)
    with pytest.raises(ValueError) as refusal:
        AnchorAndAdjust(**(usual | fields)).fit(posed(CHAIN), None, ignore)
    assert str(refusal.value) == sentence
    with pytest.raises(ValueError, match="^system must be serial for method anchor_and_adjust, got 'Single'$"):
        AnchorAndAdjust(**usual).fit(posed(single.create(lead_time=1, backlog=True)), None, ignore)


def test_given_demand_is_held_or_repeated_from_any_period():
    for after, expected in (("hold", [1, 1, 1, 2, 3, 3, 3]), ("repeat", [2, 3, 1, 2, 3, 1, 2])):
        scenario = given.create(values=[1, 2, 3], after=after, items=2)
        demand = scenario.paths(jax.random.key(0), 4, 7, -2)
        assert demand.shape == (4, 7, 2) and demand.dtype == jnp.float32
        np.testing.assert_array_equal(demand, np.broadcast_to(np.array(expected)[:, None], (4, 7, 2)))
    for fields, sentence in [
        (dict(values=[]), "scenario.values must be a list of units per period, got []"),
        (dict(values=[1, -2]), "scenario.values[1] must be a number >= 0, got -2"),
        (dict(after="stop"), "scenario.after must be one of hold, repeat, got 'stop'"),
    ]:
        with pytest.raises(ValueError) as refusal:
            given.create(**({"values": [1], "after": "hold", "items": 1} | fields))
        assert str(refusal.value) == sentence


# the environment


def test_the_environment_is_the_same_physics_and_money():
    game = gymnax.make("InventorySerial-v0", horizon=25, mean=5.0)
    game, params = game if isinstance(game, tuple) else (game, game.default_params)
    assert game.action_space(params).shape == (3,)
    actions = jax.random.uniform(jax.random.key(1), (25, 3), maxval=12.0)
    observation, first = game.reset(jax.random.key(0), params)
    assert observation.shape == (3 + 3 * 1 + 3 + 4,)  # net stock, what arrives next, positions, calendar
    np.testing.assert_array_equal(observation[:3], [10, 10, 15])  # mean demand of the lead time and a period
    state, rewards, received = first, [], []
    for action in actions:
        _, state, reward, _, _, information = game.step(jax.random.key(2), state, action, params)
        rewards.append(reward)
        received.append(information["flows"].received)
    paths = Paths(first.demand[:, None], jnp.zeros((0, 1, 1)))
    flows = replay.flows(params.system, Policy({"orders": actions}, scripted), paths)
    np.testing.assert_allclose(np.stack(received), flows.received[0], rtol=1e-5)
    np.testing.assert_allclose(rewards, params.cost.charge(flows).benefit[0].sum(1), rtol=1e-4)


def test_the_gradient_goes_through_the_chain():
    """Customers ask for 5, all of the chain for 6, and 3 come from outside: what the top stage orders in t reaches customers in
    t + 2 + 1 + 1, and is owed one period less in each of the periods t + 4, …, 11. What others order changes nothing.
    """
    system = serial.create(lead_times=[1, 1, 2], initial_stock=4)
    demand = jnp.full((12, 1), 5.0)

    def owed(orders):
        def period(state, today):
            state, flows = system.transition(state, *today)
            return state, flows.backlog[0]

        return jax.lax.scan(period, system.initial(jnp.zeros((0, 1)), 0, 0), (orders, demand))[1].sum()

    slope = jax.grad(owed)(jnp.full((12, 3), 6.0).at[:, 2].set(3.0))
    assert slope[:, 2].tolist() == [-max(8 - period, 0) for period in range(12)]
    assert not slope[:, :2].any()
