"""Networks: who gets what beside brute force, flows beside queues of a simulator in loops, balance of units, special cases."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invbench.dynamics import network
from invbench.dynamics.allocation import RULES, allocate
from invbench.dynamics.shares import route


def scripted(params, observation, key):
    return params["orders"][observation.time]


# ---- who gets what where there is too little: whole units in loops


def handed_out(rule, asked, available):
    asked, rest = [int(units) for units in asked], int(min(available, sum(asked)))
    if rule == "priority":
        given = []
        for units in asked:
            given.append(min(units, rest))
            rest -= given[-1]
        return given
    if rule == "proportional":
        given = [units * rest // max(sum(asked), 1) for units in asked]
        for arc, units in enumerate(asked):
            given[arc] += sum(given) < rest and units > given[arc]
        return given
    given = list(asked)
    while sum(given) > rest:  # a unit from whoever is least short and has any, the last of them
        short = [units - left for units, left in zip(asked, given)]
        least = min(short[arc] for arc in range(len(asked)) if given[arc])
        given[max(arc for arc in range(len(asked)) if given[arc] and short[arc] == least)] -= 1
    return given


@pytest.mark.parametrize("rule", RULES)
def test_whole_units_are_handed_out_as_in_loops(rule):
    generator = np.random.default_rng(0)
    for arcs, most in product((2, 3, 5), (2, 9, 4000)):
        asked = generator.integers(0, most + 1, (200, arcs))
        available = generator.integers(0, (arcs * most) // 2 + 2, 200)
        given = allocate(rule, jnp.float32(asked.T), jnp.float32(available)).T
        np.testing.assert_array_equal(given, [handed_out(rule, *case) for case in zip(asked, available)])


@pytest.mark.parametrize("rule", RULES)
def test_parts_of_units_use_up_what_there_is_and_the_rule_holds(rule):
    generator = np.random.default_rng(1)
    asked, available = generator.gamma(1, 5, (400, 4)), generator.gamma(2, 6, 400)
    given = np.asarray(allocate(rule, jnp.float32(asked.T), jnp.float32(available)).T, float)
    assert (given >= 0).all() and (given <= asked + 1e-5).all()
    np.testing.assert_allclose(given.sum(1), np.minimum(available, asked.sum(1)), rtol=1e-5)
    short = asked - given
    if rule == "proportional":
        np.testing.assert_allclose(given, asked * np.minimum(1, available / asked.sum(1))[:, None], rtol=1e-5)
    elif rule == "priority":
        assert not ((short[:, :-1] > 1e-4) & (given[:, 1:] > 1e-4)).any()
    else:  # whoever gets anything is as short as anyone
        np.testing.assert_array_less(np.where(given > 1e-4, short.max(1, keepdims=True) - short, 0), 1e-4)


def test_an_enumeration_finds_no_smaller_largest_shortfall():
    generator = np.random.default_rng(2)
    for asked, available in zip(generator.integers(0, 5, (40, 3)), generator.integers(0, 9, 40)):
        given = np.asarray(allocate("min_max", jnp.float32(asked), jnp.float32(available)))
        every = [one for one in product(*(range(units + 1) for units in asked)) if sum(one) == min(available, asked.sum())]
        assert (asked - given).max() == min(max(asked - np.asarray(one)) for one in every)


# ---- random networks, beside the same network as queues


def random_network(seed, **fixed):
    """Sites 0, 1, … from the top down; every node has one to three suppliers; limits on some."""
    generator = np.random.default_rng(seed)
    customers, sites, products = (int(generator.integers(*ends)) for ends in ((1, 5), (1, 6), (1, 4)))
    rows = []
    for site in range(sites):
        above = generator.permutation(np.arange(-1, site))[: generator.integers(1, 4)]
        rows += [(int(one), customers + site, int(generator.integers(0, 4))) for one in above]
    for customer in range(customers):
        rows += [(int(one), customer, 0) for one in generator.permutation(sites)[: generator.integers(1, 4)]]
    rows = [rows[arc] for arc in generator.permutation(len(rows))]
    suppliers, destinations, lead_times = zip(*rows)
    some = lambda size, low, high: [None if generator.random() < 0.5 else int(generator.integers(low, high)) for _ in range(size)]  # noqa: E731
    rest = dict(
        ranks=generator.permutation(len(rows)).tolist(), backlog=(generator.random(sites) < 0.5).tolist(), products=products,
        initial_stock=int(generator.integers(0, 8)), distances=generator.integers(1, 9, len(rows)).tolist(),
        arc_throughput=some(len(rows), 3, 20), site_throughput=some(sites, 5, 25), storage=some(sites, 8 * products, 60),
    )  # fmt: skip
    lists = (list(part) for part in (suppliers, destinations, lead_times))
    return network.create(customers=customers, sites=sites, **dict(zip(("suppliers", "destinations", "lead_times"), lists)),
                          **(rest | fixed))  # fmt: skip


def random_orders(system, periods, seed):
    """Whole orders [period, arc item], with shares where an arc leads to a customer, and whole demand."""
    generator = np.random.default_rng(seed)
    arcs = len(system.suppliers)
    orders = generator.integers(0, 9, (periods, arcs, system.products)).astype(float)
    shares = generator.integers(0, 3, orders.shape) / 2  # in sum above, below or at 1
    serves = (np.asarray(system.destinations) < system.customers)[:, None]
    orders = np.where(serves, shares, orders).reshape(periods, -1)
    return np.float32(orders), np.float32(generator.integers(0, 9, (periods, system.demand_items)))


def played(system, orders, demand, window=0):
    """Flows and observations [period, ...], and the state before each period."""
    state, flows, seen, states = system.initial(jnp.zeros((window, system.demand_items)), 0, window), [], [], []
    step, look = jax.jit(system.transition), jax.jit(system.observe)
    for order, units in zip(orders, demand, strict=True):
        states.append(state)
        seen.append(look(state))
        state, happened = step(state, order, units)
        flows.append(happened)
    stacked = (jax.tree.map(lambda *parts: np.stack(parts), *part) for part in (flows, seen, [*states, state]))
    return tuple(stacked)


class Queues:
    """The same network, one product at a time on lists, every rule written out again."""

    def __init__(self, system):
        self.system, self.arcs = system, range(len(system.suppliers))
        self.made = list(zip(system.suppliers, [node - system.customers for node in system.destinations]))
        self.products = range(system.products)
        self.stock = np.asarray(system.initial_stock, int).reshape(system.sites, -1)
        self.owed = np.zeros((len(self.arcs), system.products), int)
        self.ways = [[[0] * system.products for _ in range(lead)] for lead in system.lead_times]

    def limit(self, name, place):
        values = getattr(self.system, name)
        return np.inf if values is None else values[place]

    def position(self, site, p):
        coming = [sum(row[p] for row in self.ways[arc]) + self.owed[arc, p] for arc in self.arcs if self.made[arc][1] == site]
        return self.stock[site, p] + sum(coming) - sum(self.owed[arc, p] for arc in self.arcs if self.made[arc][0] == site)

    def ranked(self, chosen):
        return sorted(chosen, key=lambda arc: (self.system.ranks[arc], arc))

    def admitted(self, orders):
        """Orders on arcs to sites, cut by throughput from outside and by storage."""
        orders = orders.copy()
        for arc in self.arcs:
            if self.made[arc][0] < 0:
                orders[arc] = handed_out("proportional", orders[arc], self.limit("arc_throughput", arc))
        for site in range(self.system.sites):
            mine = self.ranked(arc for arc in self.arcs if self.made[arc][1] == site)
            if self.limit("storage", site) == np.inf:
                continue
            position = [self.position(site, p) for p in self.products]
            room = max(self.limit("storage", site) - sum(max(one, 0) for one in position), 0)
            free = np.stack([handed_out("proportional", orders[mine, p], max(-position[p], 0)) for p in self.products], 1)
            rest = handed_out("proportional", (orders[mine] - free).ravel(), room)
            orders[mine] = free + np.reshape(rest, free.shape)
        return orders

    def period(self, order, routed):
        """order, routed: [arc, product] units; the flows by name."""
        system, sites = self.system, range(self.system.sites)
        received, found = np.zeros_like(self.stock), {}
        arriving = [way.pop(0) if way else None for way in self.ways]
        for way, due, lead in zip(self.ways, arriving, system.lead_times):
            way.append([0] * system.products) if lead else None
        for way, due in zip(self.ways, arriving):  # positions count what is due today as on the way
            way.insert(0, due) if due else None
        asked = np.where(np.asarray(system.destinations)[:, None] < system.customers, routed, self.admitted(order))
        for arc, due in enumerate(arriving):
            if due:
                self.ways[arc].pop(0)
                received[self.made[arc][1]] += due
        self.stock = self.stock + received
        shipped, waiting = np.zeros_like(asked), list(sites)
        wanted = asked + self.owed
        can = np.stack([handed_out("proportional", wanted[arc], self.limit("arc_throughput", arc)) for arc in self.arcs])
        for arc in self.arcs:
            if self.made[arc][0] < 0:
                self.send(arc, can[arc], shipped, received)
        while waiting:  # a site ships when none above it, at no distance in time, still has to
            above = lambda site: [self.made[arc][0] for arc in self.arcs  # noqa: E731
                                  if self.made[arc][1] == site and system.lead_times[arc] == 0]  # fmt: skip
            site = next(one for one in waiting if not set(above(one)) & set(waiting))
            waiting.remove(site)
            mine = self.ranked(arc for arc in self.arcs if self.made[arc][0] == site)
            if not mine:
                continue
            given = np.stack([handed_out(system.allocation, can[mine, p], self.stock[site, p]) for p in self.products], 1)
            given = np.reshape(handed_out(system.allocation, given.ravel(), self.limit("site_throughput", site)), given.shape)
            self.stock[site] -= given.sum(0)
            for arc, units in zip(mine, given):
                self.send(arc, units, shipped, received)
        kept = np.asarray([above >= 0 and system.backlog[above] for above, _ in self.made])[:, None]
        unmet = wanted - shipped
        self.owed, cancelled = np.where(kept, unmet, 0), np.where(kept, 0, unmet)
        found.update(received=received, held=self.stock.copy(), shipped=shipped, owed=self.owed, cancelled=cancelled, asked=asked)
        found.update(position=np.asarray([[self.position(site, p) for p in self.products] for site in sites]))
        return found

    def send(self, arc, units, shipped, received):
        shipped[arc] = units
        site = self.made[arc][1]
        if self.system.lead_times[arc]:
            self.ways[arc][-1] = list(units)
        elif site >= 0:
            self.stock[site] += units
            received[site] += units


@pytest.mark.parametrize("seed, rule", list(enumerate([*RULES] * 2)))
def test_random_networks_move_as_queues_and_lose_no_unit(seed, rule):
    system = random_network(seed, allocation=rule)
    orders, demand = random_orders(system, 25, seed)
    flows, seen, states = played(system, orders, demand)
    by_product = lambda part: part.reshape(*part.shape[:-1], -1, system.products)  # noqa: E731
    queues, cut = Queues(system), slice(system.customers, None)
    serves = np.asarray(system.destinations) < system.customers
    total = np.asarray(system.initial_stock).sum()
    for t in range(len(demand)):
        routed, nowhere = route(system.layout.serving, by_product(orders[t]), by_product(demand[t]), t)
        routed = np.asarray(routed, int)
        assert (routed == np.asarray(routed, float)).all()
        found = queues.period(by_product(orders[t]).astype(int), routed)
        for name in ("received", "held"):
            np.testing.assert_array_equal(by_product(getattr(flows, name)[t])[cut], found[name], err_msg=f"{name} in {t}")
        np.testing.assert_array_equal(states.on_hand[t + 1], found["held"].ravel())
        if any(system.backlog):
            np.testing.assert_array_equal(states.owed[t + 1], found["owed"].ravel())
        if t + 1 < len(demand):
            np.testing.assert_array_equal(by_product(seen.position[t + 1])[cut], found["position"])
        for customer in range(system.customers):
            own = np.asarray(system.destinations) == customer
            where = lambda name, t=t, customer=customer: by_product(getattr(flows, name)[t])[customer]  # noqa: E731
            np.testing.assert_array_equal(where("sold"), found["shipped"][own].sum(0))
            np.testing.assert_array_equal(where("backlog"), found["owed"][own].sum(0))
            np.testing.assert_array_equal(where("lost"), found["cancelled"][own].sum(0) + nowhere[customer])
        assert flows.carried[t].sum() == (found["shipped"].sum(1) * system.distance).sum()
        # no unit is lost or made: what was there and came in is sold, in stock or on the way
        total += found["shipped"][np.asarray(system.suppliers) < 0].sum() - flows.sold[t].sum()
        assert total == flows.held[t].sum() + flows.in_transit[t].sum()
        if system.storage is not None:
            now = np.maximum(found["position"], 0).sum(1)
            assert (now <= system.storage).all()
    ordered, received = flows.ordered.sum(0), flows.received.sum(0)
    owed = np.zeros_like(by_product(orders[0])) if not any(system.backlog) else by_product(states.owed[-1])
    inward = np.zeros((system.nodes, system.products))
    np.add.at(inward, np.asarray(system.destinations)[~serves], owed[~serves])
    np.testing.assert_array_equal(ordered, received + flows.in_transit[-1] + inward.ravel())
    np.testing.assert_array_equal(flows.demand.sum(0), (flows.sold + flows.lost).sum(0) + flows.backlog[-1])
