"""Service by brute force, for tests of planning: single units of demand assigned to single units of capacity."""

import math

import numpy as np
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment


def whole_numbers(draw, low, high, *shape):
    """An array of whole numbers, as hypothesis draws them."""
    size = math.prod(shape)
    return np.array(draw(st.lists(st.integers(low, high), min_size=size, max_size=size))).reshape(shape)


def least_service(unit, demand, room, penalty=math.inf):
    """The least money for whole demand [customer] from whole room [site] at unit [site, customer]; penalty: for a unit unmet."""
    whom = np.repeat(np.arange(len(demand)), np.round(demand).astype(int))
    where = np.repeat(np.arange(len(unit)), np.minimum(room, len(whom)).astype(int))
    each = unit[np.ix_(where, whom)]
    if math.isfinite(penalty):
        each = np.concatenate([each, np.full((len(whom), len(whom)), float(penalty))])
    if len(each) < len(whom):
        return math.inf
    try:
        return each[linear_sum_assignment(each)].sum()
    except ValueError:  # some unit can be served from nowhere
        return math.inf
