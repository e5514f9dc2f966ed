"""Random networks with a seed, in the manner of Cornuejols, Sridharan and Thizy 1991, EJOR 50(3)."""

import numpy as np

from invbench.checks import number, whole
from invbench.keys import stable_hash
from invbench.networks.facilities import Facilities, create

LENGTH = 100.0  # km, side of the square that sites and customers lie in


def load(*, sites: int, customers: int, seed: int, tightness: float | None, transport: float) -> tuple[Facilities, ...]:
    """One network: places in a square of 100 km, demand U[5, 35], fixed cost U[0, 90] + U[100, 110] sqrt(capacity).

    tightness: total capacity, drawn from U[10, 160], over total demand; None: no limits, and fixed costs as for 5.
    transport: money per unit and km. Shapes as in `Facilities`.
    """
    sites, customers = whole("network.sites", sites, low=1), whole("network.customers", customers, low=1)
    seed, transport = whole("network.seed", seed), number("network.transport", transport, low=0)
    ratio = 5.0 if tightness is None else number("network.tightness", tightness, low=0, above=True)
    random = np.random.default_rng([seed, stable_hash("network")])
    places = random.uniform(0, LENGTH, (sites, 2)), random.uniform(0, LENGTH, (customers, 2))
    demand, room = random.uniform(5, 35, customers), random.uniform(10, 160, sites)
    room *= ratio * demand.sum() / room.sum()
    fixed = random.uniform(0, 90, sites) + random.uniform(100, 110, sites) * np.sqrt(room)
    distance = np.linalg.norm(places[0][:, None] - places[1], axis=-1)
    made = create(
        name=f"generated_{sites}x{customers}_{seed}", demand=demand, capacity=np.inf if tightness is None else room, fixed=fixed,
        cost=transport * distance * demand, distance=distance, places=places, unit="km",
    )  # fmt: skip
    return (made,)
