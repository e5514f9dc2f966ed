"""Supply chains as tables of stages: what the files say, what they may not say, and which of them can be simulated."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from command import invbench

from invbench import configs
from invbench.networks import trees

REAL_DATA = Path(__file__).resolve().parents[1] / "../shared/data/networks/gsm_trees"
HEADER = "stage_id,lead_time,max_s_time,cost,risk_pool,ext_demand_mean,ext_demand_std,ext_demand_thres,up_stages\n"
PLANT = "Plant,3,,2.5,2,,,\n"
SHOPS = "Shop_A,1,0,0.5,,10,3,1.645,Plant,1\nShop_B,2,4,0.25,,20,4,1.645,Plant,1\n"


def written(folder, text, name="small.txt"):
    (folder / name).write_text(text)
    return folder / name


def test_a_small_tree_is_read_as_it_is_written(tmp_path):
    (tree,) = trees.load(path=str(written(tmp_path, HEADER + SHOPS + "\n" + PLANT)))
    assert tree.name == "small" and tree.stages == ("Shop_A", "Shop_B", "Plant") and tree.cost_kind == "cost"
    assert tree.lead_time.tolist() == [1, 2, 3] and tree.cost.tolist() == [0.5, 0.25, 2.5]
    assert tree.arcs.tolist() == [[2, 0], [2, 1]] and tree.quantity.tolist() == [1, 1]
    np.testing.assert_array_equal(tree.mean, [10, 20, np.nan])
    np.testing.assert_array_equal(tree.std, [3, 4, np.nan])
    np.testing.assert_array_equal(tree.service_time, [0, 4, np.nan])
    np.testing.assert_array_equal(tree.risk_pool, [np.nan, np.nan, 2])
    assert tree.demanded.tolist() == [0, 1]


def test_a_job_on_a_tree(tmp_path):
    """Demand is the tree's, a unit is paid for once, and what sells goes through the plant first."""
    path = written(tmp_path, HEADER + SHOPS + PLANT)
    job = ["network=tree", f"network.path={path}", "method=installation_base_stock", "tracker=none", "scenario.annual=0"]
    done = invbench(tmp_path, *job, "evaluation.paths=40", "evaluation.validation_paths=4", "evaluation.horizon=200")
    assert done.returncode == 0, done.stderr
    report = json.loads((Path(done.stdout.rstrip("\n").splitlines()[-1]) / "report.json").read_text())
    sold = report["revenue"]["mean"] / 20
    assert sold == pytest.approx(30 * 200 * report["fill_rate"]["mean"], rel=0.02) and report["fill_rate"]["mean"] > 0.9
    there = 30 * 4 + 10 * 2 + 20 * 3  # at first: demand of the lead time and a period, at each stage
    assert sold - there <= report["purchase"]["mean"] / 10 <= sold
    refused = invbench(tmp_path, *job, "method=hierarchical")
    assert refused.returncode == 1 and "network must be chosen for method=hierarchical" in refused.stderr


def test_a_distribution_tree_moves_as_it_says(tmp_path):
    """What leaves the outside in period 0 is in the plant in 3, and what the plant sends in 3 is in the shops in 4 and 5."""
    (tree,) = trees.load(path=str(written(tmp_path, HEADER + SHOPS + PLANT)))
    system = trees.system(tree, backlog=True)
    assert (system.customers, system.sites, system.lead_time) == (2, 3, 5)
    state, received = system.initial(jnp.zeros((0, 2)), 0, 0), []
    for period in range(6):
        order = jnp.float32([4, 5, 9, 1, 1]) * jnp.float32([period == 0] * 3 + [1, 1])
        state, flows = system.transition(state, order, jnp.zeros(2))
        received.append(flows.received[2:].tolist())
    assert received == [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 9], [4, 0, 0], [0, 5, 0]]


def test_assembly_is_read_and_not_simulated(tmp_path):
    (tree,) = trees.load(
        path=str(written(tmp_path, HEADER + PLANT + "Part,2,,1,2,,,\nShop,1,0,0.5,,10,3,1.645,Plant,1,Part,2\n"))
    )
    assert tree.arcs.tolist() == [[0, 2], [1, 2]] and tree.quantity.tolist() == [1, 2]
    with pytest.raises(
        ValueError, match="^small: stage Shop is assembled from 2 stages; what is simulated is chains and distrib"
    ):
        trees.system(tree)
    (tree,) = trees.load(path=str(written(tmp_path, HEADER + PLANT + "Shop,1,0,0.5,,10,3,1.645,Plant,4\n")))
    with pytest.raises(ValueError, match="^small: stage Shop takes 4 units of Plant; what is simulated takes one for one$"):
        trees.system(tree)


SHOP = "Shop,1,0,0.5,,10,3,1.645,"
MALFORMED = [
    ("", "small.txt, line 1: the file is empty"),
    (HEADER, "small.txt, line 1, column stage_id: must be followed by a line for each stage, got 'none'"),
    (HEADER.replace("cost", "price"), "small.txt, line 1, column 4: must be cost or cost_rate, got 'price'"),
    (HEADER.replace(",up_stages", ""), "small.txt, line 1, column 9: must be up_stages, got ''"),
    (HEADER + PLANT, "small.txt, line 1, column ext_demand_mean: must be given for one stage at least, got 'none'"),
    (HEADER + PLANT.replace("3", "-3"), "small.txt, line 2, column lead_time: must be a whole number >= 0, got '-3'"),
    (HEADER + PLANT.replace("3", "1.5"), "small.txt, line 2, column lead_time: must be a whole number >= 0, got '1.5'"),
    (HEADER + PLANT.replace("2.5", "dear"), "small.txt, line 2, column cost: must be a number >= 0, got 'dear'"),
    (HEADER + PLANT.replace("2.5", "inf"), "small.txt, line 2, column cost: must be a number >= 0, got 'inf'"),
    (HEADER + PLANT + PLANT, "small.txt, line 3, column stage_id: must be a name that no line above has, got 'Plant'"),
    (HEADER + SHOP.replace(",3,", ",,"), "small.txt, line 2, column ext_demand_std: must be given where ext_demand_mean is, and "
     "there alone, got ''"),
    (HEADER + SHOP + "Plant", "small.txt, line 2, column up_stages: must be pairs of a stage and a quantity, got 'Plant'"),
    (HEADER + SHOP + "Plant,1", "small.txt, line 2, column up_stages: must be a stage of the file, got 'Plant'"),
    (HEADER + PLANT + SHOP + "Plant,x", "small.txt, line 3, column up_stages: must be a number >= 0, got 'x'"),
    (HEADER + PLANT + SHOP + "Plant,0", "small.txt, line 3, column up_stages: must be a quantity > 0 of Plant, got 0"),
    (HEADER + PLANT + SHOP + "Plant,1,Plant,2", "small.txt, line 3, column up_stages: must be different stages, got 'Plant'"),
    (HEADER + PLANT[:-1] + ",Shop,1\n" + SHOP + "Plant,1",
     "small.txt, line 2, column up_stages: must be stages that this one does not supply itself, got 'Plant'"),
]  # fmt: skip


@pytest.mark.parametrize("text, sentence", MALFORMED)
def test_malformed_files_are_refused_with_line_and_column(tmp_path, text, sentence):
    with pytest.raises(ValueError) as refusal:
        trees.load(path=str(written(tmp_path, text)))
    assert str(refusal.value) == sentence


def test_a_path_without_trees_is_refused(tmp_path):
    for path, rule in ((tmp_path, "a folder with files"), (tmp_path / "none.txt", "a file or a folder that exists")):
        with pytest.raises(ValueError, match=f"^network.path must be {rule}"):
            trees.load(path=str(path))
    given = yaml.safe_load((configs.home() / "network" / "tree.yaml").read_text())
    assert given == {"_target_": "invbench.networks.trees.load", "path": "???"}


@pytest.mark.skipif(not REAL_DATA.exists(), reason="no gsm_trees in ../shared/data/networks")
def test_every_shared_tree_is_read():
    """Numbers of stages are the lines of the files, of arcs the quantities in them."""
    found = {tree.name: tree for tree in trees.load(path=str(REAL_DATA))}
    files = {path.stem: path.read_text().split("\n") for path in REAL_DATA.glob("*.txt")}
    assert found.keys() == files.keys() and len(found) == 13
    for name, tree in found.items():
        rows = [line.split(",") for line in files[name][1:] if line]
        assert len(tree.stages) == len(rows) and len(tree.arcs) == sum(len([c for c in row[8:] if c]) for row in rows) / 2
        assert tree.lead_time.sum() == sum(int(row[1]) for row in rows)
        assert np.nansum(tree.mean) == pytest.approx(sum(float(row[5] or 0) for row in rows))
    assert found["battery"].cost_kind == "cost" and found["toys"].cost_kind == "cost_rate"
    assert len(found["food"].stages) == 27 and found["digital_camera"].lead_time.max() == 150
    simulated = {}
    for name, tree in found.items():
        try:
            simulated[name] = trees.system(tree)
        except ValueError as refusal:
            assert "is assembled from" in str(refusal)
    assert simulated.keys() == {"battery_small_divergent", "bulldozer_small_linear"}
    assert simulated["bulldozer_small_linear"].lead_time == 5 + 8 + 4
