"""Futures that are written down once: what a training on a budget of seconds draws from.

A program that draws from an array is the same for every kind of demand, so that a sweep over scenarios compiles it once.
"""

from dataclasses import replace

import numpy as np

from invbench.keys import root
from invbench.problem import Problem
from invbench.scenarios import tilted

PATHS = 512


def stored(problem: Problem) -> Problem:
    """The problem with futures drawn from so many paths of what the fit may know, each as often as another.

    Its validation paths are drawn from them, too: what is judged later is not.
    """
    demand = problem.outlook(root(problem.seed, "stored"), PATHS)
    return replace(problem, scenario=tilted.create(demand, np.ones(demand.shape[1]), problem.start - problem.window))
