"""An agent from outside: it learns on the adapter, and its network becomes a policy like any other."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import probes
import pytest
from omegaconf import OmegaConf

from invbench import configs, run
from invbench.exact import chain, optimum
from invbench.keys import root
from invbench.types import Observation

pytest.importorskip("stable_baselines3", reason="the extra peers is not installed")


def made(**fields):
    plain = OmegaConf.to_container(OmegaConf.load(configs.home() / "method" / "stable_baselines3.yaml"))
    plain |= {"fast_mode": False}
    return run.build(plain | dict(steps=2048, rollout=256, choices=5, hidden=[16], episode=64) | fields)


def fitted(problem, **fields):
    heard = []
    policy = made(**fields).fit(problem, root(0, "method", "sb3"), lambda metrics, step: heard.append((step, metrics)))
    return policy, heard


def test_it_learns_on_the_adapter_and_orders_what_its_own_network_says():
    problem = probes.lead_time()
    policy, heard = fitted(problem)
    assert [step for step, _ in heard] == list(range(256, 2049, 256))
    gap = np.mean(chain.average(problem, policy)[:2]) / optimum.find(problem).value - 1
    assert 0 <= gap < 0.6
    np.testing.assert_array_equal(policy.params["grid"], [0, 1, 2, 3, 4])


def test_the_network_is_that_of_the_agent(monkeypatch):
    from invbench.methods import stable_baselines3

    agents, layers = [], stable_baselines3._layers
    monkeypatch.setattr(stable_baselines3, "_layers", lambda agent: (agents.append(agent), layers(agent))[1])
    policy, _ = fitted(probes.lead_time(), steps=256)
    stock = np.array([0.0, 1.0, 3.0, 6.0], np.float32)
    pipeline = np.array([2.0, 0.0, 1.0, 0.0], np.float32)
    seen = np.stack([stock, pipeline, stock + pipeline], 1)
    actions, _ = agents[0].predict(seen / policy.params["scale"][0], deterministic=True)
    shape = lambda part: jnp.asarray(part)[:, None]  # noqa: E731
    observation = Observation(shape(stock), shape(stock + pipeline), shape(pipeline)[None], jnp.zeros((0, 4, 1)), jnp.int32(0))
    orders = policy.apply(policy.params, observation, None)[:, 0]
    room = np.maximum(np.asarray(policy.params["cap"]) - stock - pipeline, 0)
    np.testing.assert_array_equal(orders, np.minimum(np.asarray(policy.params["grid"])[actions], room))


def test_several_items_are_refused():
    problem = probes.lead_time()
    with pytest.raises(ValueError, match="scenario.items must be 1 for stable_baselines3, got 2"):
        made().fit(replace(problem, scenario=replace(problem.scenario, items=2)), root(0, "x"), print)
