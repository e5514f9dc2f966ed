"""Networks: the formats of OR-Library, cities on a sphere, the generator; and one sentence where data make no sense."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import floyd_warshall

from invbench import configs
from invbench.networks import facilities, generated, orlib, us_cities

REAL_DATA = Path(__file__).resolve().parents[1] / "../shared/data/networks"
CAP = "2 3\n 10 100.\n 20. 50\n5\n 1 2\n7 3 4 8\n5 6\n"  # 2 warehouses, 3 customers; lines may break anywhere
PMED = "4 4 2\n1 2 5\n2 3 7\n3 1 1\n1 2 9\n"  # the last length of 1-2 counts; vertex 4 is alone


def field(name, **changed):
    """The fields of a choice of conf/network, without its target."""
    given = yaml.safe_load((configs.home() / "network" / f"{name}.yaml").read_text())
    return {key: value for key, value in given.items() if key != "_target_"} | changed


def written(folder, text, name="small.txt"):
    (folder / name).write_text(text)
    return folder / name


def real(name):
    path = REAL_DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not in ../shared/data/networks")
    return path


# OR-Library


def test_a_warehouse_file_gives_capacity_fixed_cost_demand_and_cost(tmp_path):
    (made,) = orlib.load(path=str(written(tmp_path, CAP)))
    assert made.name == "small" and made.shape == (2, 3) and made.count is None and made.distance is None
    assert made.capacity.tolist() == [10, 20] and made.fixed.tolist() == [100, 50] and made.demand.tolist() == [5, 7, 8]
    assert made.cost.tolist() == [[1, 3, 5], [2, 4, 6]]
    assert made.capacitated and made.fewest == 1 and made.room.tolist() == [10, 20]


def test_a_median_file_gives_shortest_ways_with_the_last_length_of_an_edge(tmp_path):
    (made,) = orlib.load(path=str(written(tmp_path, PMED)))
    assert made.count == 2 and not made.capacitated and made.fixed.tolist() == [0] * 4 and made.demand.tolist() == [1] * 4
    # 1-2 is 9 at last, and 8 over vertex 3
    assert made.cost.tolist() == [[0, 8, 1, math.inf], [8, 0, 7, math.inf], [1, 7, 0, math.inf], [math.inf] * 3 + [0]]
    assert made.distance is not None and (made.distance == made.cost).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_shortest_ways_are_those_of_another_program(vertices, seed):
    random = np.random.default_rng(seed)
    length = np.where(random.random((vertices, vertices)) < 0.5, random.integers(1, 20, (vertices, vertices)), np.inf)
    length = np.minimum(length, length.T)
    np.fill_diagonal(length, 0)
    np.testing.assert_allclose(orlib.shortest(length), floyd_warshall(np.where(np.isfinite(length), length, 0), directed=False))


def test_a_folder_gives_its_files_by_number_and_an_instance_for_each_capacity(tmp_path):
    for name in ("pmed10", "pmed2", "pmed1"):
        written(tmp_path, PMED, f"{name}.txt")
    written(tmp_path, CAP.replace(" 10 ", " capacity "), "capa.txt")
    written(tmp_path, "not a network", "notes.md")
    found = orlib.load(path=str(tmp_path), capacity={"capa": [30, 40.5]})
    assert [made.name for made in found] == ["capa_30", "capa_40.5", "pmed1", "pmed2", "pmed10"]
    assert [made.capacity.tolist() for made in found[:2]] == [[30, 20], [40.5, 20]]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "small.txt, line 1: the file is empty"),
        ("5\n", "small.txt, line 1: must be two whole numbers (warehouses, customers) or three (vertices, edges, p), got '5'"),
        ("0 3\n", "small.txt, line 1: must be warehouses, a whole number from 1, got '0'"),
        ("1.5 3\n", "small.txt, line 1: must be warehouses, a whole number from 1, got '1.5'"),
        (CAP.replace("7 3 4", "7 3 -4"), "small.txt, line 6: must be the costs of customer 2, a number >= 0, got '-4'"),
        (CAP.replace("50", "fifty"), "small.txt, line 3: must be the fixed cost of warehouse 2, a number >= 0, got 'fifty'"),
        (CAP.replace("50", "nan"), "small.txt, line 3: must be the fixed cost of warehouse 2, a number >= 0, got 'nan'"),
        (CAP.replace("50", "5_0"), "small.txt, line 3: must be the fixed cost of warehouse 2, a number >= 0, got '5_0'"),
        (CAP.replace("5 6\n", "5\n"), "small.txt, line 7: the file ends before the costs of customer 3"),
        (CAP + "9\n", "small.txt, line 8: must be the end of the file, got '9'"),
        (PMED.replace("2 3 7", "2 5 7"), "small.txt, line 3: must be an end of edge 2, a whole number from 1 to 4, got '5'"),
        (PMED.replace("4 4 2", "4 4 5"), "small.txt, line 1: must be p <= 4 vertices, got 5"),
        (PMED.replace("4 4 2", "4 5 2"), "small.txt, line 5: the file ends before an end of edge 5"),
        (CAP.replace("20.", "capacity"), "network.capacity.small must be units of each site, as the file has a word, got None"),
    ],
)  # fmt: skip
def test_malformed_files_are_refused_with_file_and_line(text, sentence, tmp_path):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        orlib.load(path=str(written(tmp_path, text)))


def test_what_is_no_text_or_is_not_there_is_refused(tmp_path):
    (tmp_path / "small.txt").write_bytes(b"2 3\n\xff")
    with pytest.raises(ValueError, match="^small.txt, line 2: a byte that is not UTF-8 text$"):
        orlib.load(path=str(tmp_path))
    with pytest.raises(ValueError, match="^network.path must be a file or a folder that exists, got '.*nowhere'$"):
        orlib.load(path=str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"^network.path must be a folder with files \*.txt, got "):
        orlib.load(path=str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="^network.capacity.capa must be a number > 0, got 0$"):
        orlib.load(path=str(written(tmp_path, CAP.replace(" 10 ", " capacity "), "capa.txt")), capacity={"capa": [0]})


def test_all_real_files_are_read():
    caps = orlib.load(**field("orlib", path=str(real("orlib_cap"))))
    assert len(caps) == 25 and {made.shape for made in caps} == {(16, 50), (25, 50), (100, 1000)}
    assert {made.demand.sum() for made in caps[:21]} == {58268}  # all of cap41 to cap94 have the same customers
    pmeds = orlib.load(**field("orlib", path=str(real("orlib_pmed"))))
    assert [made.count for made in pmeds] == [5, 10, 10, 20, 33, 5, 10, 20, 40, 67]  # as the library lists them


# cities and generated networks


def test_great_circles():
    places = np.array([[0, 0], [0, 90], [90, 0], [0, 180], [36.12, -86.67], [33.94, -118.40]])
    quarter = math.pi / 2 * us_cities.EARTH
    ways = us_cities.great_circle(places[:, None], places)
    np.testing.assert_allclose(ways[0, :4], [0, quarter, quarter, 2 * quarter])
    assert ways[4, 5] == pytest.approx(2886.45, rel=1e-5)  # Nashville to Los Angeles
    np.testing.assert_allclose(ways, ways.T)


CITIES = "name,pop,lat,long\nA,100,0,0\nB,300,0,1\nC,200,1,0\nD,300,1,1\n"


def test_the_largest_cities_are_customers_and_the_largest_of_them_sites(tmp_path):
    path = str(written(tmp_path, CITIES, "cities.csv"))
    (made,) = us_cities.load(**field("us_cities", path=path, customers=3, sites=2, demand=0.1, transport=2, capacity=70))
    assert made.customers == ("B", "D", "C") and made.sites == ("B", "D") and made.unit == "km"  # B and D as in the file
    assert made.demand.tolist() == [30, 30, 20] and made.capacity.tolist() == [70, 70]
    degree = math.pi / 180 * us_cities.EARTH
    assert made.distance[0, :2].tolist() == pytest.approx([0, degree]) and made.cost[0, 1] == pytest.approx(2 * 30 * degree)
    assert made.places[0].tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    "text, changed, sentence",
    [
        (CITIES, dict(customers=5), "network.customers must be at most the 4 cities of the file, got 5"),
        (CITIES, dict(sites=4), "network.sites must be at most the 3 customers, got 4"),
        (CITIES, dict(transport=-1), "network.transport must be a number >= 0, got -1"),
        (CITIES.replace("pop", "people"), {}, "network.columns.population must be a column of cities.csv, got 'pop'"),
        (CITIES.replace("C,200", "C,-200"), {}, "cities.csv, row 4, column 'pop': '-200' is negative"),
        (CITIES.replace("C,200,1", "C,200,91"), {}, "cities.csv, row 4, column 'lat': '91' is beyond 90 degrees"),
        (CITIES.replace("C,200,1,0", "C,200,1"), {}, "cities.csv, row 4, column 'long': 3 cells where the header has 4"),
    ],
)
def test_cities_that_make_no_sense_are_refused(text, changed, sentence, tmp_path):
    path = str(written(tmp_path, text, "cities.csv"))
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        us_cities.load(**field("us_cities", **{"path": path, "customers": 3, "sites": 2} | changed))


def test_real_cities():
    (made,) = us_cities.load(**field("us_cities", path=str(real("us_cities/us_cities_1005.csv"))))
    assert made.shape == (20, 50) and made.sites[:3] == ("New York NY", "Los Angeles CA", "Chicago IL")
    assert made.distance[0, 1] == pytest.approx(3940, rel=0.01)  # km as commonly given


def test_generated_networks_have_their_tightness_and_depend_on_the_seed():
    made, again, other = (generated.load(**field("generated", seed=seed))[0] for seed in (1, 1, 2))
    assert made.capacity.sum() == pytest.approx(3 * made.demand.sum()) and made.shape == (20, 50)
    assert (made.cost == again.cost).all() and (made.demand != other.demand).any()
    np.testing.assert_allclose(made.cost, 0.1 * made.distance * made.demand)
    assert not generated.load(**field("generated", seed=1, tightness=None))[0].capacitated
    with pytest.raises(ValueError, match="^network.tightness must be a number > 0, got 0$"):
        generated.load(**field("generated", seed=1, tightness=0))


@pytest.mark.parametrize(
    "changed, sentence",
    [
        (dict(cost=[[1, -2]]), "network.cost must be >= 0, got -2.0"),
        (dict(cost=[1, 2]), "network.cost must be a number for each site and customer, got 'shape (2,)'"),
        (dict(fixed=[math.inf]), "network.fixed must be >= 0, got inf"),
        (dict(demand=[1]), "network.demand must be one number, or one for each of 2, got 'shape (1,)'"),
        (dict(demand=math.nan), "network.demand must be >= 0, got nan"),
        (dict(count=2), "network.count must be at most the 1 sites, got 2"),
        (dict(sites="ab"), "network.sites must be names of 1, got 2"),
    ],
)
def test_facilities_refuse_what_makes_no_sense(changed, sentence):
    given = dict(name="small", demand=[1, 2], capacity=math.inf, fixed=[3], cost=[[1, 2]])
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        facilities.create(**given | changed)
