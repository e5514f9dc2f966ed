"""Demand that is data: what is observed, what is held out, what is refused; and real files where they are present."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from omegaconf import OmegaConf

from invbench import configs, costs, problem, run
from invbench.dynamics import single
from invbench.keys import root
from invbench.types import Policy

REAL_DATA = Path(__file__).resolve().parents[1] / "../shared/data"
PERIODS, HORIZON, WINDOW = 80, 10, 7
SALES = np.random.default_rng(0).integers(0, 40, (PERIODS, 3))
FLAGS = np.random.default_rng(1).random((PERIODS, 3)) > 0.2
NAMES = ("A", "B", "C")
COST = costs.CostModel(20.0, 10.0, 2.0, 10.0, 50.0, 0.0)


def wide(values=SALES):
    """A row an item, a column a period."""
    rows = [[name, *map(str, values[:, i])] for i, name in enumerate(NAMES)]
    return "\n".join(",".join(row) for row in [["sku", *(f"d_{t}" for t in range(len(values)))], *rows]) + "\n"


def long(values=SALES, flags=FLAGS):
    """A row an item and date, with in-stock flags."""
    days = np.datetime64("2024-01-01") + np.arange(len(values))
    rows = [f"{days[t]},{name},{values[t, i]},{flags[t, i]}" for i, name in enumerate(NAMES) for t in range(len(values))]
    return "\n".join(["date,item,sales,in_stock", *rows]) + "\n"


@pytest.fixture
def read(tmp_path):
    """The scenario of a CSV with this text; other fields of the YAML by name."""

    def read_text(text, name="sales.csv", **fields):
        (tmp_path / name).write_text(text)
        return data(tmp_path / name, **fields)

    return read_text


def data(path, **fields):
    plain = OmegaConf.to_container(OmegaConf.load(configs.home() / "scenario" / "history.yaml"))
    return run.build(plain | {"path": str(path)} | fields)


def posed(scenario, **changes):
    system = single.create(lead_time=2, backlog=False, initial_stock=None)
    given = dict(information="auto", history=365, window=WINDOW, horizon=HORIZON, seed=0, evaluation_seed=0)
    return problem.create(scenario, system, COST, **given | changes)


def order_up_to(params, observation, key):
    return params["level"] - observation.position


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


# ---- the split


@pytest.mark.parametrize("text", [wide(), long()], ids=["wide", "long"])
def test_the_last_periods_are_held_out(read, text):
    scenario = read(text)
    same(scenario.observed(HORIZON).sales, SALES[:-HORIZON])
    before, ahead = scenario.held_out(HORIZON, WINDOW)
    assert ahead.shape == (HORIZON, 1, 3) and before.shape == (WINDOW, 1, 3) and scenario.items == 3
    same(ahead[:, 0], SALES[-HORIZON:])
    same(before[:, 0], SALES[-HORIZON - WINDOW : -HORIZON])


def test_flags_are_split_with_the_sales(read):
    same(read(long()).observed(HORIZON).in_stock, FLAGS[:-HORIZON])
    assert read(wide()).observed(HORIZON).in_stock is None


def test_a_second_file_of_flags_counts(read, tmp_path):
    (tmp_path / "flags.csv").write_text(wide(FLAGS))
    flagged = read(wide(), in_stock_path=str(tmp_path / "flags.csv"))
    same(flagged.observed(HORIZON).in_stock, FLAGS[:-HORIZON])
    assert flagged.digest != read(wide()).digest


@pytest.mark.parametrize("information", ["auto", "history"])
def test_one_path_is_judged_on_and_it_is_the_end_of_the_data(read, information):
    made = posed(read(wide()), information=information)
    paths = made.evaluation_paths(1000)
    same(paths.demand[:, 0], SALES[-HORIZON:])
    same(paths.before[:, 0], SALES[-HORIZON - WINDOW : -HORIZON])
    assert (paths.demand.shape, paths.start, made.start, made.items) == ((HORIZON, 1, 3), 70, 70, 3)
    same(made.history.sales, SALES[:-HORIZON])


def test_the_fit_knows_nothing_of_what_is_held_out(read):
    other = SALES.copy()
    other[-HORIZON:] = 39 - other[-HORIZON:]
    first, second = (posed(read(wide(values), name)) for values, name in ((SALES, "one.csv"), (other, "two.csv")))
    same(first.scenario, second.scenario)
    same(first.training_paths(root(0, "any"), 8), second.training_paths(root(0, "any"), 8))
    same(first.system.initial_stock, second.system.initial_stock)
    assert not np.array_equal(first.evaluation_paths(1).demand, second.evaluation_paths(1).demand)
    fitting = first.for_fitting()
    assert fitting.judged_on is None and len(fitting.history.sales) == PERIODS - HORIZON
    with pytest.raises(ValueError, match="^evaluation paths must be left alone by methods"):
        fitting.evaluation_paths(1)


def test_training_paths_look_like_the_history(read):
    """Mean of 500 futures within 20 % of the last observed periods' mean, and none below zero."""
    made = posed(read(wide()))
    demand = np.asarray(made.training_paths(root(0, "any"), 500).demand)
    assert demand.shape == (HORIZON, 500, 3) and (demand >= 0).all()
    np.testing.assert_allclose(demand.mean((0, 1)), made.scenario.profile(70 + jnp.arange(HORIZON)).mean(0), rtol=0.05)
    np.testing.assert_allclose(demand.mean((0, 1)), SALES[:-HORIZON].mean(0), rtol=0.2)


def test_a_base_stock_on_the_data(read):
    made = posed(read(wide()))
    flows = made.simulate(Policy({"level": jnp.full(3, 90.0)}, order_up_to), made.evaluation_paths(1))
    same(flows.demand[0], SALES[-HORIZON:])
    received = flows.received[0].sum(0) + made.system.initial_stock
    np.testing.assert_allclose(received, flows.sold[0].sum(0) + flows.held[0, -1])


def test_the_digest_is_that_of_the_content(read):
    usual = read(wide()).digest
    other = SALES.copy()
    other[3, 1] += 1
    assert read(wide(), "copy.csv").digest == usual and read(wide(other)).digest != usual


# ---- refusals


@pytest.mark.parametrize("changes, sentence", [
    (dict(information="known"), "problem.information must be history where demand is data, got 'known'"),
    (dict(information="none"), "problem.information must be one of auto, known, history, got 'none'"),
    (dict(horizon=80), "evaluation.horizon must be < the 80 periods of the data, got 80"),
    (dict(horizon=99), "evaluation.horizon must be < the 80 periods of the data, got 99"),
    (dict(horizon=0), "evaluation.horizon must be a whole number >= 1, got 0"),
    (dict(horizon=53), "problem.history must be >= 28 periods to fit a simulator, got 27"),
    (dict(window=71), "problem.window must be <= the 70 observed periods, got 71"),
    (dict(window=-1), "problem.window must be a whole number >= 0, got -1"),
    (dict(seed=0.5), "seed must be a whole number >= 0, got 0.5"),
    (dict(evaluation_seed=-1), "evaluation.seed must be a whole number >= 0, got -1"),
])  # fmt: skip
def test_a_problem_that_cannot_be_posed(read, changes, sentence):
    with pytest.raises(ValueError) as refusal:
        posed(read(wide()), **changes)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("fields, begins", [
    (dict(layout="tall"), "scenario.layout must be one of auto, wide, long, dates_down, got 'tall'"),
    (dict(missing="guess"), "scenario.missing must be one of refuse, zero, got 'guess'"),
])  # fmt: skip
def test_fields_of_the_file(read, fields, begins):
    with pytest.raises(ValueError) as refusal:
        read(wide(), **fields)
    assert str(refusal.value) == begins


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="sales.csv does not exist"):
        data(tmp_path / "sales.csv")


def test_a_negative_cell_names_its_place(read):
    with pytest.raises(ValueError, match=r"sales.csv, row 3, column 'd_4': '-2' is negative"):
        read(wide(np.where((np.arange(PERIODS)[:, None] == 4) & (np.arange(3) == 1), -2, SALES)))


@pytest.mark.parametrize("history", [13, 20, 30.5])
def test_a_process_needs_enough_of_a_history_too(history):
    plain = OmegaConf.to_container(OmegaConf.load(configs.home() / "scenario" / "stable.yaml"))
    with pytest.raises(ValueError, match="^problem.history must be "):
        posed(run.build(plain), information="history", history=history)


# ---- real files


@pytest.mark.parametrize("name, items, periods", [
    ("m5/sales_FOODS_1_CA_1_CA_2_d1_d1941.csv.gz", 432, 1941),
    ("yaz_restaurant/yaz_daily.csv.gz", 7, 765),
])  # fmt: skip
def test_real_data(name, items, periods):
    if not (REAL_DATA / name).exists():
        pytest.skip(f"{name} is not there: its licence does not let it be shipped")
    made = posed(data(REAL_DATA / name), horizon=90, window=56)
    assert (made.items, made.start) == (items, periods - 90)
    level = 4 * made.history.sales[-56:].mean(0)
    flows = made.totals(Policy({"level": jnp.asarray(level)}, order_up_to), made.evaluation_paths(1))
    np.testing.assert_allclose(flows.sold + flows.lost, flows.demand, rtol=1e-5)
    assert 0.3 < flows.sold.sum() / flows.demand.sum() < 1
