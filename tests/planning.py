"""Planners and networks that the tests of planning share."""

from dataclasses import replace

from invbench.networks import generated
from invbench.planners import outlook, risk, stochastic, strategic
from invbench.planners.solve import limits


def planner(search="always", nodes=None, gap=0.0, **options):
    return strategic.create(limits=limits(nodes=nodes, gap=gap), search=search, **options)


def generate(sites, customers, seed, tightness=None, count=None):
    (made,) = generated.load(sites=sites, customers=customers, seed=seed, tightness=tightness, transport=0.1)
    return replace(made, count=count, fixed=made.fixed if count is None else 0 * made.fixed)


def under_risk(scenarios=None, penalty=20.0, **options):
    scenarios = scenarios or outlook.drawn(count=5, variation=0.5, common=0.3, seed=3)
    return stochastic.create(scenarios=scenarios, penalty=penalty, **options)


def averse(weight, alpha):
    return risk.create(kind="cvar", weight=weight, alpha=alpha)
