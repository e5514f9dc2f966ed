"""Problems whose best policy is known by hand, and learners for them: what is found here must be found before anything else."""

import jax
import jax.numpy as jnp
import numpy as np
from omegaconf import OmegaConf

from invbench import configs, run
from invbench.costs import CostModel
from invbench.dynamics import perishable, single
from invbench.keys import root
from invbench.problem import Problem
from invbench.scenarios import discrete, poisson
from invbench.types import Observation

HORIZON = 64
COST = dict(price=0.0, purchase=0.0, holding=1.0, shortage=4.0, fixed_order=0.0, salvage=0.0)


def posed(scenario, system, **prices):
    return Problem(scenario, system, CostModel(**(COST | prices)), HORIZON, 0, 0, 0)


def one_period():
    """3 units are asked for in every period, sold for 4 and bought for 1; what is left expires: order 3."""
    demand = discrete.create(probabilities=[0, 0, 0, 1], items=1)
    return posed(demand, perishable.create(lead_time=0, life=1, issuing="fifo"), price=4.0, purchase=1.0, holding=0.0)


def newsvendor():
    """Order up to 7: P(D <= 6) = 0.762 < 4 / (4 + 1) <= P(D <= 7) = 0.867 for Poisson(5)."""
    return posed(poisson.create(mean=5.0, items=1), single.create(lead_time=0, backlog=False))


def lead_time():
    """What is ordered today is sold in two periods; its optimum is computed."""
    return posed(poisson.create(mean=2.0, items=1), single.create(lead_time=2, backlog=False))


def nothing_to_decide():
    """No order costs or earns anything."""
    return posed(poisson.create(mean=2.0, items=1), single.create(lead_time=0, backlog=False), holding=0.0, shortage=0.0)


def ignore(metrics, step):
    """A log that nobody reads."""


def made(name, **fields):
    """A method as its YAML has it, but for `fields`."""
    plain = OmegaConf.to_container(OmegaConf.load(configs.home() / "method" / f"{name}.yaml"))
    plain.pop("defaults", None)  # what is inside is among `fields`
    known = {"fast_mode": False} if "fast_mode" in plain else {}
    return run.build(plain | known | fields)


def fitted(name, problem, seed=0, log=ignore, **fields):
    """The policy that it comes to."""
    return made(name, **fields).fit(problem, root(seed, "method", name), log)


def order(policy, on_hand):
    """What is ordered with so much on hand and nothing on the way."""
    stock, nothing = jnp.full((1, 1), float(on_hand)), jnp.zeros((0, 1, 1))
    return float(policy.apply(policy.params, Observation(stock, stock, nothing, nothing, jnp.zeros((), jnp.int32)), None)[0, 0])


def same(first, second):
    """Whether two trees are equal byte by byte."""
    leaves = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(one).tobytes() == np.asarray(two).tobytes() for one, two in leaves)
