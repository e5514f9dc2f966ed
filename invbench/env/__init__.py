"""Reinforcement learning on a problem: gymnax 1.0 environments over the dynamics, and an adapter to gymnasium.

Importing it registers `InventoryLostSales-v0`, `InventoryBacklog-v0`, `InventoryDualSource-v0`, `InventoryPerishable-v0`,
`InventorySerial-v0` and `Distribution-v0`: `gymnax.make("InventoryBacklog-v0", lead_time=2)` works, with the settings of
`games`. Nothing else imports it, because gymnax takes seconds to load.
"""

from invbench.env.adapter import GymnasiumEnv
from invbench.env.games import register
from invbench.env.inventory import FEATURES, EnvParams, EnvState, Inventory, from_problem

__all__ = ["FEATURES", "EnvParams", "EnvState", "GymnasiumEnv", "Inventory", "from_problem", "register"]

register()
