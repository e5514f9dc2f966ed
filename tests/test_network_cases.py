"""Networks that are known otherwise: the serial chain, a warehouse with retailers; costs, blocks of paths, what is refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from invbench import problem
from invbench.costs import CostModel
from invbench.dynamics import network, serial
from invbench.methods.installation_base_stock import InstallationBaseStock
from invbench.scenarios import given, poisson
from invbench.tuning import Budget
from invbench.types import Policy


def ignore(metrics, step):
    pass


def scripted(params, observation, key):
    return params["orders"][observation.time]


def rates(holding=1.0, shortage=9.0, **more):
    return CostModel(0.0, 0.0, holding, shortage, 0.0, 0.0, **more)


def posed(system, cost, mean=5, horizon=40, window=0, scenario=None):
    scenario = scenario or poisson.create(mean=mean, items=system.demand_items)
    sizes = dict(information="known", history=0, window=window, horizon=horizon, seed=0, evaluation_seed=0)
    return problem.create(scenario, system, cost, **sizes)


def chain(lead_times, **more):
    """Stage 0 is site 0, the last is supplied from outside; one customer."""
    stages = len(lead_times)
    arcs = dict(suppliers=[*range(1, stages), -1, 0], destinations=[*range(1, stages + 1), 0], lead_times=[*lead_times, 0])
    return network.create(customers=1, sites=stages, backlog=True, **arcs, **more)


def retailers(count=3, **more):
    """A warehouse, site 0, with retailers 1, 2, …, each with one customer."""
    arcs = dict(suppliers=[-1, *[0] * count, *range(1, count + 1)], destinations=[*range(count, 2 * count + 1), *range(count)])
    return network.create(customers=count, sites=count + 1, **arcs, **({"lead_times": 1, "initial_stock": 8} | more))


# ---- the serial chain


@pytest.mark.parametrize("lead_times", [[2, 2, 2], [1, 3, 2], [0, 2, 0], [0, 0], [3]])
def test_a_chain_moves_flow_for_flow_as_the_serial_system(lead_times):
    generator, stages = np.random.default_rng(len(lead_times)), len(lead_times)
    systems = serial.create(lead_times=lead_times, initial_stock=4), chain(lead_times, initial_stock=4)
    states = [system.initial(jnp.ones((3, 1)), 5, 3) for system in systems]
    looks, steps = ([jax.jit(getattr(system, name)) for system in systems] for name in ("observe", "transition"))
    for _ in range(30):
        orders, demand = (jnp.float32(generator.integers(0, 10, size)) for size in (stages, 1))
        seen, ours = (look(state) for look, state in zip(looks, states))
        for name in ("on_hand", "position", "ring"):
            np.testing.assert_array_equal(getattr(seen, name), getattr(ours, name)[..., 1:], err_msg=name)
        np.testing.assert_array_equal(seen.pipeline, ours.pipeline[..., :stages])
        (first, expected), (second, found) = (
            step(state, order, demand) for step, state, order in zip(steps, states, (orders, jnp.append(orders, 1.0)))
        )
        for name in ("ordered", "placed", "received", "held", "in_transit"):
            np.testing.assert_array_equal(getattr(expected, name), getattr(found, name)[1:], err_msg=name)
        for name in ("demand", "sold", "missed", "lost", "backlog"):
            np.testing.assert_array_equal(getattr(expected, name)[0], getattr(found, name)[0], err_msg=name)
        states = first, second


def order_up_to_echelon(params, observation, key):
    """Each stage up to a level of the positions of all stages down to it; the customer's demand goes to stage 0."""
    orders = params["levels"] - jnp.cumsum(observation.position[..., 1:], -1)
    return jnp.concatenate([orders, jnp.ones_like(orders[..., :1])], -1)


def test_the_printed_optimum_of_a_chain_is_what_simulation_costs():
    """Snyder and Shen, Example 6.1 with Poisson demand: 72.046741 at 9, 15, 26. The book has one period more on the way to
    stage 0, at the 4 of stage 1 for each of 5 units; see echelon.py."""
    cost = rates(np.float32([0, 7, 4, 2]), np.float32([37.12, 0, 0, 0]), in_transit=np.float32([0, 4, 2, 0]))
    made = posed(chain([0, 1, 2], initial_stock=8), cost, horizon=90)
    for levels, agrees in (([9, 15, 26], True), ([8, 13, 26], False)):
        flows = made.simulate(Policy({"levels": jnp.float32(levels)}, order_up_to_echelon), made.evaluation_paths(3000))
        found = np.asarray(cost.charge(flows).cost, np.float64)[:, 30:].sum(-1).mean(1)
        error = stats.sem(found)
        assert error < 0.005 * 52
        assert (abs(found.mean() - (72.046741 - 5 * 4)) < 3.5 * error) == agrees
        assert found.mean() > 72.046741 - 5 * 4 - 3.5 * error  # no levels cost less


# ---- a warehouse and retailers


def up_to(params, observation, key):
    return network.split(params["split"], jnp.maximum(params["level"] - observation.position, 0), observation.time)


@pytest.mark.parametrize("allocation", ["proportional", "priority", "min_max"])
def test_a_warehouse_shares_out_what_it_has(allocation):
    """It has 8 and is asked for 9, 5 and 2: 4.5, 2.5 and 1, that is 5, 2 and 1 in whole units | 8, 0 and 0 | short of 3, 3 and 2,
    so that the largest shortfall, 3, is as small as can be."""
    system = retailers(allocation=allocation, backlog=True)
    state = system.initial(jnp.zeros((0, 3)), 0, 0)
    order = jnp.float32([0, 9, 5, 2, 1, 1, 1])
    after, flows = system.transition(state, order, jnp.zeros(3))
    shipped = {"proportional": [5, 2, 1], "priority": [8, 0, 0], "min_max": [6, 2, 0]}[allocation]
    assert flows.in_transit[4:].tolist() == shipped
    assert after.owed[1:4].tolist() == [9 - shipped[0], 5 - shipped[1], 2 - shipped[2]]
    assert flows.ordered.tolist() == [0, 0, 0, 0, 9, 5, 2]  # what is owed has been accepted
    _, flows = replace(system, backlog=(False,) * 4).transition(state._replace(owed=jnp.zeros(0)), order, jnp.zeros(3))
    assert flows.ordered[4:].tolist() == shipped  # and what is cancelled has not


def test_units_of_a_warehouse_with_retailers_balance_in_a_replay_of_blocks():
    system = retailers(
        5, lead_times=[3, 1, 2, 0, 1, 1, 0, 0, 0, 0, 0], storage=[60, 20, 20, 20, 20, 20], site_throughput=15, products=2
    )
    made = posed(system, rates(), mean=3, horizon=50)
    policy = Policy({"level": jnp.full(22, 18.0).at[10:12].set(50.0), "split": system.splits()}, up_to)
    paths = made.evaluation_paths(40)
    flows = made.simulate(policy, paths)
    first, items = np.asarray(system.initial_stock).reshape(6, 2), (40, 11, 2)
    sold, received, ordered = (np.asarray(getattr(flows, name).sum(1)).reshape(items) for name in ("sold", "received", "ordered"))
    held, in_transit = (np.asarray(getattr(flows, name)[:, -1]).reshape(items) for name in ("held", "in_transit"))
    np.testing.assert_array_equal(ordered, received + in_transit)
    np.testing.assert_array_equal(first + received[:, 5:], held[:, 5:] + np.concatenate(
        [(received + in_transit)[:, 6:].sum(1, keepdims=True), sold[:, :5]], 1))  # fmt: skip
    np.testing.assert_array_equal(flows.demand, flows.sold + flows.lost)
    stock = np.asarray(flows.held + flows.in_transit).reshape(40, 50, 11, 2).sum(-1)[:, :, 5:]
    assert (stock <= system.storage).all() and (stock == system.storage).any()
    alone = made.simulate(policy._replace(elementwise=False), paths)
    jax.tree.map(np.testing.assert_array_equal, flows, alone)
    candidates = {"level": jnp.stack([policy.params["level"], policy.params["level"] - 4])}
    together = made.benefits(policy._replace(params=candidates), paths, shared={"split": system.splits()})
    np.testing.assert_allclose(together[0], made.benefit(policy, paths), rtol=1e-5)
    assert not np.allclose(together[1], together[0])


def test_no_order_depends_on_demand_that_comes_later():
    made = posed(retailers(2), rates(), window=4)
    policy = InstallationBaseStock(Budget(64, 16, 2)).fit(made.for_fitting(), jax.random.key(0), ignore)
    paths = made.evaluation_paths(8)
    other = paths._replace(demand=paths.demand.at[12:].set(3 * paths.demand[12:] + 7))
    before, after = (made.simulate(policy, futures).ordered for futures in (paths, other))
    np.testing.assert_array_equal(before[:, :13], after[:, :13])
    assert (before[:, 13:] != after[:, 13:]).any()


# ---- shares


def test_whole_demand_is_split_into_whole_units_and_fairly_over_time():
    system = network.create(customers=1, sites=3, suppliers=[-1, -1, -1, 0, 1, 2], destinations=[1, 2, 3, 0, 0, 0], lead_times=1,
                            shares=[1, 1, 1, 0.2, 0.3, 0.5], initial_stock=9)  # fmt: skip
    for units, share, expected in (
        (1, [0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
        (7, [1, 1, 2], [1.75, 1.75, 3.5]),
        (5, [0.1, 0, 0.5], [0.5, 0, 2.5]),
    ):
        step = jax.jit(lambda time: system.transition(system.initial(jnp.zeros((0, 1)), time, 0), order, demand)[0])
        order, demand = jnp.float32([0, 0, 0, *share]), jnp.float32([units])
        sold = 9 - np.asarray([step(time).on_hand for time in range(987)])
        assert (sold == np.round(sold)).all() and (np.abs(sold - expected) < 1 + 1e-6).all()
        np.testing.assert_allclose(sold.mean(0), expected, atol=0.005)
    orders = np.asarray([system.split(jnp.float32([0, 3, 1, 4]), time) for time in range(4)])
    np.testing.assert_allclose(orders, [[3, 1, 4, 0.2, 0.3, 0.5]] * 4, rtol=1e-6)


def test_the_slope_goes_through_shares_orders_and_shortage():
    system = retailers(2, allocation="proportional", initial_stock=[2.5, 1, 1], distances=1.0)

    def sold(order):
        state = system.initial(jnp.zeros((0, 2)), 0, 0)
        state, first = system.transition(state, order, jnp.float32([3, 4]))
        return system.transition(state, order, jnp.float32([3, 4]))[1].sold.sum()

    order = jnp.float32([1.5, 4, 2, 0.9, 1])
    sold = jax.jit(sold)
    slope = jax.jit(jax.grad(sold))(order)
    assert np.isfinite(slope).all() and slope[1] == pytest.approx(0, abs=1e-6)
    small = 0.01
    for arc in (3,):
        rise = (sold(order.at[arc].add(small)) - sold(order.at[arc].add(-small))) / (2 * small)
        assert slope[arc] == pytest.approx(float(rise), abs=1e-2)


# ---- money


def test_ways_and_sites_are_paid_for():
    """One period: 3 units are sold over a way of 20 and 1 over one of 30; 5 and 0 are sent on ways of 10. Site 2 has neither
    stock, nor order, nor customer."""
    system = retailers(2, initial_stock=[6, 4, 0], distances=[100, 10, 10, 20, 30])
    cost = rates(transport=0.5, fixed_site=np.float32([7, 11, 13]))
    made = posed(system, cost)
    _, flows = system.transition(system.initial(jnp.zeros((0, 2)), 0, 0), jnp.float32([0, 5, 0, 1, 0]), jnp.float32([3, 1]))
    assert flows.carried.tolist() == [60, 0, 0, 50, 0] and flows.used.tolist() == [0, 0, 1, 1, 0]
    money = made.cost.charge(flows)
    assert money.transport.tolist() == [30, 0, 0, 25, 0] and money.sites.tolist() == [0, 0, 7, 11, 0]
    assert money.shortage.tolist() == [0, 9, 0, 0, 0]  # the unit that was sent nowhere is lost
    assert float(money.cost.sum()) == 30 + 25 + 7 + 11 + 9 + float(flows.held.sum())
    _, flows = system.transition(system.initial(jnp.zeros((0, 2)), 0, 0), jnp.float32([0, 5, 0, 1, 1]), jnp.float32([3, 1]))
    assert flows.used.tolist() == [0, 0, 1, 1, 1]


# ---- the door


def test_stock_that_is_not_given_covers_the_lead_time_of_the_site_and_a_period():
    system = retailers(2, lead_times=[2, 1, 0, 0, 0], initial_stock=None)
    made = posed(system, rates(), scenario=given.create(values=[3, 4, 5, 6], after="hold", items=2))
    assert made.system.initial_stock.tolist() == [2 * (3 + 4 + 5), 3 + 4, 3]
    less = posed(replace(system, storage=np.float32([12, 100, 2])), rates(), scenario=made.scenario)
    assert less.system.initial_stock.tolist() == [12, 7, 2]


SMALL = dict(customers=["a"], sites=["x", "y"], suppliers=["outside", "x", "y"], destinations=["x", "y", "a"], lead_times=1)
REFUSED = [
    (dict(suppliers=["y", "x", "y"]), "system.suppliers must be above their destinations, got a circle of sites"),
    (dict(suppliers=["outside", "x", "outside"]), "system.suppliers[2] must be a site where a customer is served, got 'outside'"),
    (dict(suppliers=["outside", "z", "y"]), "system.suppliers[1] must be one of x, y, outside, got 'z'"),
    (dict(destinations=["x", "y", 3]), "system.destinations[2] must be from 0 to 2, got 3"),
    (dict(destinations=["x", "y", "y"]), "system.destinations must be a list with every customer and site, got 'none of a'"),
    (dict(sites=["x", "a"]), "system.sites must be names that no customer and no other site has, got ['a', 'x', 'a']"),
    (dict(lead_times=[1, 1, 2]), "system.lead_times[2] must be 0, as on every arc to a customer, got [2]"),
    (dict(shares=[1, 0.5, 1]), "system.shares must be 1 in sum for every destination, got 'y: 0.5'"),
    (dict(storage=[9, None], initial_stock=10),
     "system.initial_stock must be at most system.storage at every site, over its products, got 10"),
    (dict(site_throughput=[1, -2]), "system.site_throughput[1] must be a number >= 0, got -2"),
    (dict(allocation="fair"), "system.allocation must be one of proportional, priority, min_max, got 'fair'"),
    (dict(backlog=[True]), "system.backlog must be one figure, or one for each of 2, got [True]"),
]  # fmt: skip


@pytest.mark.parametrize("fields, sentence", REFUSED)
def test_networks_are_refused_by_name(fields, sentence):
    with pytest.raises(ValueError) as refusal:
        network.create(**(SMALL | fields))
    assert str(refusal.value) == sentence


def test_a_network_meets_the_demand_and_the_rates_that_it_needs():
    with pytest.raises(ValueError, match="^scenario.items must be 3, one for each customer and product of the network, got 2$"):
        posed(retailers(3), rates(), scenario=poisson.create(mean=1, items=2))
    with pytest.raises(
        ValueError, match=r"^cost.holding must be one number, or one for each of 7 nodes and products, got \(2,\)$"
    ):
        posed(retailers(3), rates(np.float32([1, 2])))


# ---- a rule


def test_the_tuned_fractile_is_the_best_of_all():
    made = posed(retailers(3, backlog=True), rates(np.float32([0, 0, 0, 0.5, 1, 1, 1]), 9.0), horizon=60)
    key, best = jax.random.key(0), InstallationBaseStock(Budget(400, 60, 3)).fit(made, jax.random.key(0), ignore)
    paths = made.validation_paths(300)
    worth = lambda policy: float(made.benefit(policy, paths).sum(-1).mean())  # noqa: E731
    others = [
        worth(InstallationBaseStock(Budget(64, 16, 2), fractile).fit(made, key, ignore))
        for fractile in (0.5, 0.8, 0.9, 0.95, 0.99)
    ]
    assert worth(best) >= max(others) - 0.005 * abs(max(others)) and worth(best) > min(others)
    assert best.params["level"][:3].tolist() == [0, 0, 0] and (np.asarray(best.params["level"][3:]) % 1 == 0).all()
