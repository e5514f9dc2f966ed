"""The speed study: what it writes, and that no tool is timed on another problem. Nothing here depends on speed itself."""

import csv
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
import pytest

from invbench import costs, replay
from invbench.dynamics import single
from invbench.keys import root
from invbench.methods.base_stock import order_up_to
from invbench.studies import speed, speed_learning
from invbench.studies.speed import Row, Speed, Tool
from invbench.types import Paths, Policy

TINY = dict(periods=20, paths=64, candidates=9, candidate_paths=8, repeats=1)
WORKLOADS = (
    ["candidates (s,S)", "candidates (s,S) peak memory", "replay base-stock", "replay base-stock compile", "draw base-stock"]
    + ["policy base-stock", "policy (s,S)", "policy (r,nQ)", "policy safety stock"]
    + ["policy forecast base-stock", "policy forecast (s,S)"]
)  # fmt: skip
BASE_STOCK = Policy(speed.as_items({"level": speed.LEVEL}), order_up_to)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> list[dict[str, str]]:
    """The rows of a tiny study with the peers that are installed."""
    folder = tmp_path_factory.mktemp("speed") / "new"
    assert Speed(**TINY, peers=True).run(folder) == 0
    return read(folder)


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "speed.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def own_costs(paths: Paths, system=speed.SYSTEM) -> np.ndarray:
    return -np.asarray(replay.total(system, BASE_STOCK, paths, costs.benefit, (speed.COST,)))[:, 0]


def test_columns(written):
    assert list(written[0]) == ["workload", "tool", "value", "unit", "ratio"]


def test_every_workload_has_a_row_of_invbench_with_ratio_1(written):
    assert [row["workload"] for row in written if row["tool"] == "invbench"] == WORKLOADS
    assert {row["ratio"] for row in written if row["tool"] == "invbench"} == {"1"}


def test_values_are_positive_and_have_their_unit(written):
    units = {"candidates (s,S)": "s", "candidates (s,S) peak memory": "GiB", "replay base-stock compile": "s"}
    assert [row["unit"] for row in written] == [units.get(row["workload"], "M periods/s") for row in written]
    assert all(float(row["value"]) > 0 for row in written if row["unit"] == "M periods/s")
    assert all(np.isfinite(float(row["value"])) and float(row["value"]) >= 0 for row in written)


def test_installed_peers_are_in_the_table(written):
    tools = {(row["workload"], row["tool"].split()[0]) for row in written if row["tool"] != "invbench"}
    expected = {("replay base-stock", "numba"), ("draw base-stock", "dynaplex"), ("draw base-stock", "stockpyl")}
    assert tools == {(workload, peer) for workload, peer in expected if find_spec(peer)}


def test_peers_are_left_out_on_request():
    tools = [tool.name for _, tools in Speed(**TINY, peers=False).workloads() for tool in tools]
    assert tools == ["invbench"] * 9


def test_a_missing_peer_is_left_out_and_the_table_says_how_to_install_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(speed, "find_spec", lambda name: None)
    monkeypatch.setattr(speed, "POLICIES", {})
    assert Speed(**TINY, peers=True).run(tmp_path) == 0
    assert {row["tool"] for row in read(tmp_path)} == {"invbench"}
    printed = capsys.readouterr().out
    assert (
        "Not installed, so not compared: numba, stockpyl, dynaplex, mdpax, stable_baselines3. "
        "To compare: pip install 'invbench[peers]'" in printed
    )
    assert f"jax {jax.__version__}" in printed and "JAX devices" in printed


def test_hand_written_loop_has_the_same_cost_on_every_path():
    paths = speed.stored(11, 30)  # costs are whole numbers, so that float32 sums are exact in any order
    arguments = (np.float32(speed.LEVEL), speed.LEAD_TIME, np.float32(speed.HOLDING), np.float32(speed.SHORTAGE))
    loop = getattr(speed.blocked_loop, "py_func", speed.blocked_loop)
    np.testing.assert_array_equal(loop(np.asarray(paths.demand)[..., 0], *arguments, 4), own_costs(paths))


def test_compiled_loop_has_the_same_cost_on_every_path():
    pytest.importorskip("numba")
    paths = speed.stored(2500, 30)  # the last block of lanes is not full
    tool = speed.numba_tool(paths)
    np.testing.assert_array_equal(tool.cost(tool.run()), own_costs(paths))
    assert not tool.agrees(own_costs(paths) * 1.001, tool.run())


def test_dynaplex_has_the_same_mean_cost():
    pytest.importorskip("dynaplex")
    tool, paths = speed.dynaplex_tool(4096, 60), speed.stored(4096, 60)
    theirs = tool.cost(tool.run())
    assert tool.agrees(own_costs(paths), theirs)
    assert not tool.agrees(own_costs(paths, single.create(lead_time=speed.LEAD_TIME + 1, backlog=False)), theirs)


def test_dynaplex_has_the_same_cost_in_the_long_run():
    """Both after 100 periods of warm-up: 8.673 a period (dynaplex 1.14.1: 8.672 with standard error 0.002)."""
    pytest.importorskip("dynaplex")
    tool = speed.dynaplex_tool(2048, 500, warm_up=100)
    paths = speed.stored(2048, 600)
    priced = replay.flows(speed.SYSTEM, BASE_STOCK, paths, costs.benefit, (speed.COST,))
    ours = -np.asarray(priced, np.float64)[:, 100:, 0].sum(1)
    assert tool.agrees(ours, tool.cost(tool.run()))
    assert abs(ours.mean() / 500 - 8.673) < 6 * ours.std() / 500 / np.sqrt(len(ours))


def test_stockpyl_has_the_same_cost_with_backlog():
    pytest.importorskip("stockpyl")
    demand = np.random.default_rng(0).poisson(speed.MEAN, 40).astype(np.float32)
    tool = speed.stockpyl_tool(40, demand_type="D", demand_list=demand.astype(int).tolist())
    system = single.create(lead_time=speed.LEAD_TIME, backlog=True, initial_stock=speed.LEVEL)
    ours = own_costs(Paths(demand[:, None, None], np.zeros((0, 1, 1), np.float32)), system)
    np.testing.assert_allclose(tool.cost(tool.run()), ours)


def test_a_peer_with_other_costs_is_refused():
    own = Tool("invbench", 1, lambda: 7.0, np.atleast_1d)
    other = Tool("somebody", 1, lambda: 8.0, np.atleast_1d, np.array_equal)
    with pytest.raises(RuntimeError, match="somebody disagrees with invbench on replay: mean cost of a path 8, not 7"):
        speed.timed("replay", [own, other], 1)


def test_same_law_by_hand():
    """Two samples 0, 1, … with variance 0.5 each: the standard error of the difference is sqrt(2 x 0.5 / 2) = 0.707."""
    ours = np.array([0.0, 1.0])
    assert speed.same_law(ours, ours + 4.2)
    assert not speed.same_law(ours, ours + 4.3)


def test_tools_take_turns(monkeypatch):
    monkeypatch.setattr(speed, "PAUSE", 0.0)
    turns = []
    tools = [Tool(name, 1, lambda name=name: turns.append(name), lambda _: np.zeros(1)) for name in ("A", "B")]
    speed.timed("replay", tools, 3)
    assert turns == ["A"] + ["A", "B"] + ["A", "B"] * 3  # cold, to compare costs, and three times warm


def test_ratio_is_above_1_where_invbench_is_faster():
    """12 M periods in 2 s against 4 M periods in 4 s: 6 against 1 M periods/s."""
    tools = [Tool("invbench", 12_000_000, None, None), Tool("slow", 4_000_000, None, None)]
    rates = [Row("draw", "invbench", 6, "M periods/s", 1), Row("draw", "slow", 1, "M periods/s", 6)]
    assert speed.compared("draw", tools, [2.0, 4.0]) == rates
    seconds = [Row("candidates (s,S)", "invbench", 2, "s", 1), Row("candidates (s,S)", "slow", 4, "s", 6)]
    assert speed.compared("candidates (s,S)", tools, [2.0, 4.0]) == seconds


def test_candidates_of_the_grid_differ_and_are_replayed_as_such():
    pairs, paths = speed.grid(10), speed.stored(8, 20)
    points = np.concatenate([np.asarray(leaf) for leaf in pairs.params.values()], axis=1)
    assert len(np.unique(points, axis=0)) == 10
    many = replay.candidates(speed.SYSTEM, pairs, paths, costs.benefit, (speed.COST,))
    alone = pairs._replace(params={name: leaf[6] for name, leaf in pairs.params.items()})
    np.testing.assert_array_equal(many[6], replay.total(speed.SYSTEM, alone, paths, costs.benefit, (speed.COST,)))


def test_first_run_is_compiled_anew_and_the_cache_is_left_as_it_was():
    compiled = []

    @jax.jit
    def traced(x):
        compiled.append(x)
        return x + 1

    before = jax.config.jax_enable_compilation_cache
    for _ in range(2):
        seconds, memory = speed._cold(lambda: traced(1.0))
        assert seconds > 0 and np.isfinite(memory)
    assert len(compiled) == 2 and jax.config.jax_enable_compilation_cache == before


@pytest.mark.parametrize("field", ["periods", "paths", "candidates", "candidate_paths", "repeats"])
def test_a_field_below_1_is_refused_by_name(field, tmp_path):
    with pytest.raises(ValueError, match=f"speed.{field} must be a whole number >= [12], got 0"):
        Speed(**{**TINY, field: 0}, peers=False).run(tmp_path)


def test_peers_must_be_true_or_false(tmp_path):
    with pytest.raises(ValueError, match="speed.peers must be true or false, got 'no'"):
        Speed(**TINY, peers="no").run(tmp_path)


def test_stored_paths_are_drawn_from_the_scenario():
    paths = speed.stored(4096, 30)
    assert paths.demand.shape == (30, 4096, 1) and paths.before.shape == (speed.WINDOW, 4096, 1)
    assert abs(float(paths.demand.mean()) - speed.MEAN) < 6 * np.sqrt(speed.MEAN / paths.demand.size)
    assert not np.array_equal(paths.before[:20], paths.demand[:20])
    assert root(0, "speed", "stored") != root(0, "speed", "drawn")


# ---- learners


SMALL = {
    "ppo": dict(lanes=16, steps=8, updates=12, validations=2, validation_paths=8, hidden=[8]),
    "hdpo": dict(updates=20, paths=4, validation_paths=8, hidden=[8]),
}


@pytest.fixture
def small(monkeypatch):
    """Learners with a budget of seconds."""
    full = speed_learning.method_of
    monkeypatch.setattr(speed_learning, "method_of", lambda name, **changes: full(name, **SMALL[name] | changes))


def test_a_training_counts_every_step_of_every_member(small, monkeypatch):
    monkeypatch.setattr(speed_learning, "trained", lambda method: (2.0, None))
    (one,) = speed_learning.one_run("ppo", beside=False)
    assert one == ("train ppo, one run", "invbench", 16 * 8 * 12 / 2 / 1e3, "k steps/s", 1.0)
    group = speed_learning._own("group", "ppo", members=4, learning_rate=speed_learning.GROUP)
    assert group.value == 4 * one.value
    assert speed_learning.hdpo_rate().value == 4 * 20 * 4 * (24 + 8) / 2 / 1e6


def test_learners_are_trained_and_timed(small, monkeypatch):
    monkeypatch.setattr(speed_learning, "ROLLED", 64)
    for rate in (speed_learning.hdpo_rate(), speed_learning.greedy_rate(), *speed_learning.one_run("ppo", beside=False)):
        assert 0 < rate.value < np.inf and rate.tool == "invbench"
    names = [name for name, _ in speed_learning.workloads(False)]
    assert names == ["ppo", "sac", "dqn", "ppo group", "hdpo", "greedy roll-outs", "warm start"]
