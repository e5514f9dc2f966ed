"""Tests of the report: equal bytes, nothing dropped, everything escaped, and a page that a browser shows without complaint."""

import csv
import html
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from invbench.report import curves, figures
from invbench.report.curves import BASELINE, WORTH
from invbench.report.page import CAPTIONS, HELP, write_page
from invbench.report.tables import COLUMNS as SHOWN
from invbench.report.tables import Comparison, Result, ScenarioResults, amount, cell, print_table, write_csv, write_markdown

COLUMNS = tuple(
    "scenario method family status net_benefit net_benefit_lower net_benefit_upper operating_benefit operating_benefit_lower "
    "operating_benefit_upper difference difference_lower difference_upper win_rate p_holm baseline std risk_adjusted cvar "
    "cvar_lower cvar_upper fill_rate ready_rate cycle_service no_stockout average_cost gap_to_clairvoyant turnover"
    " break_even error".split()
)
FAMILIES = {
    "base_stock": "traditional", "s_S_policy": "traditional", "forecast_newsvendor": "ml", "hdpo_pathwise_gradient": "dl",
    "residual_sac_on_base_stock": "rl", "ppo": "rl", "dqn_with_imitation_warm_start": "rl", "constant_order": "traditional",
    "clairvoyant": "bound",
}  # fmt: skip
QUALITY = dict(zip(FAMILIES, (0.0, 0.012, 0.004, 0.03, 0.041, -0.06, -0.9, -0.12, 0.16)))  # of the baseline's cost
ONCE = {"traditional": 500.0, "ml": 600.0, "dl": 900.0, "rl": 1400.0, "bound": 0.0}
PERIODS, PATHS = 104, 600


def trajectory(generator, level):
    """A base-stock policy with lead time 2 and lost sales on one path."""
    demand = generator.poisson(20 + 8 * np.sin(np.arange(PERIODS) / 8)).astype(float)
    record = {name: np.zeros(PERIODS) for name in ("ordered", "received", "held", "missed")}
    stock, pipeline = level / 2, [20.0, 20.0]
    for period in range(PERIODS):
        received = pipeline.pop(0)
        order = max(0.0, level - stock - received - sum(pipeline)) * (period % 2 == 0)
        pipeline.append(order)
        sold = min(stock + received, demand[period])
        stock = stock + received - sold
        for name, value in zip(record, (order, received, stock, demand[period] - sold)):
            record[name][period] = value
    return {"demand": demand, **record}


def numbers(values, against, cost, once, per_period):
    """The numeric part of a row, with normal intervals: what the evaluation computes."""
    mean, half = values.mean(), 1.96 * values.std() / np.sqrt(len(values))
    difference, spread = (values - against).mean(), 1.96 * (values - against).std() / np.sqrt(len(values))
    fixed, tail = once + per_period * PERIODS, np.sort(values)[: len(values) // 20].mean()
    gain = difference / PERIODS - per_period + 1.0
    return {
        "net_benefit": mean - fixed, "net_benefit_lower": mean - fixed - half, "net_benefit_upper": mean - fixed + half,
        "operating_benefit": mean, "operating_benefit_lower": mean - half, "operating_benefit_upper": mean + half,
        "difference": difference, "difference_lower": difference - spread, "difference_upper": difference + spread,
        "win_rate": float(np.mean(values > against)), "p_holm": 0.0004 if abs(difference) > spread else 0.31,
        "std": values.std(), "risk_adjusted": mean - 0.5 * values.std(), 
        "cvar": tail, "cvar_lower": tail - half, "cvar_upper": tail + half,
        "fill_rate": 0.97, "ready_rate": 0.951, "cycle_service": 0.93, "no_stockout": 0.951, "average_cost": cost / PERIODS,
        "gap_to_clairvoyant": 0.071, "turnover": 11.4, "break_even": once / gain if gain > 0 else float("inf"),
    }  # fmt: skip


def done(scenario, method, generator, against, cost):
    family = FAMILIES[method]
    noise = generator.normal(0, 0.05 * cost, PATHS)
    shift = QUALITY[method] * cost * generator.uniform(0.3, 1.6)
    values = against + shift + (noise if method != "base_stock" else 0) * (0.4 + abs(QUALITY[method]))
    once, per_period = ONCE[family], 1.0 + 0.5 * (family == "rl")
    row = {"scenario": scenario, "method": method, "family": family, "status": "done", "baseline": method == "base_stock"}
    row |= {"error": None} | numbers(values, against, cost, once, per_period)
    if method == "base_stock":
        row |= {name: None for name in ("difference", "difference_lower", "difference_upper", "win_rate", "p_holm", "break_even")}
    parts = dict(zip(("holding", "shortage", "ordering", "purchase"), generator.dirichlet((6, 3, 2, 14)) * (cost - shift)))
    parts |= {"revenue": values.mean() + cost - shift, "salvage": 0.0, "implementation": once / 2, "training": once / 2}
    parts |= {"inference": per_period * PERIODS, "maintenance": 0.0}
    label = "fast mode" if method == "ppo" else ""
    path = trajectory(generator, 60 + 3 * len(method))
    return Result(method, family, label, "done", "", row, values, parts, path, once, per_period, PERIODS, curve(method, values))


def curve(method, values):
    """A learner rises towards what it earns; others have no curve."""
    if FAMILIES[method] not in ("dl", "rl"):
        return ()
    low = {"step": 0, "validation/baseline": float(values.mean() - 50)}
    return low, *({"step": step, "validation/benefit": float(values.mean() - 4000 / step)} for step in range(1, 21))


def failed(scenario, method, sentence="Training diverged at step 120: the loss is not a number."):
    row = {"scenario": scenario, "method": method, "family": FAMILIES[method], "status": "failed", "error": sentence}
    return Result(method, FAMILIES[method], "", "failed", sentence, row, np.zeros(0), {}, {}, 0.0, 0.0, 0)


def one(number, name, methods):
    generator = np.random.default_rng(number)
    cost = 6000.0 * (1 + number % 3)
    against = generator.normal((number % 4 - 1) * 3000.0, 0.15 * cost, PATHS)
    results = [done(name, method, generator, against, cost) for method in methods]
    if number % 4 == 2 and len(methods) > 6:
        results[5] = failed(name, methods[5])
    return ScenarioResults(name, "base_stock", tuple(results), f"{PATHS} paths; information: known")


NAMES = (
    "stationary_poisson", "seasonal", "intermittent_croston_slow_movers", "regime_switching", "vn2_competition_weekly_sales",
    "autoregressive_ar1", "m5_foods_ca_1", "normal", "geometric_lost_sales_lead_4", "zipkin_2008",
    "backorders", "trend_and_promotions",
)  # fmt: skip


def sweep(scenarios=12, methods=9):
    """A comparison with realistic and awkward content."""
    names = tuple(FAMILIES)[: methods - 1] + ("clairvoyant",)
    listed = tuple(one(number, name, names) for number, name in enumerate(NAMES[:scenarios]))
    settings = {
        "system": "single, lost sales, lead time 2",
        "cost": "retail: price 12, purchase 7, holding 0.1, shortage 4",
        "horizon": f"{PERIODS} periods",
        "paths": str(PATHS),
        "seeds": "3",
        "information": "known",
        "tuning budget": "64 candidates",
    }
    command = "invbench -m +sweep=methods evaluation.paths=600"
    return Comparison("Methods on twelve demand processes", command, listed, COLUMNS, settings, "invbench 0.1, commit 1a2b3c4")


@pytest.fixture(scope="module")
def comparison():
    """Three scenarios x nine methods; the third has a failed one."""
    return sweep(scenarios=3)


@pytest.fixture(scope="module")
def page(comparison, tmp_path_factory):
    return write_page(comparison, tmp_path_factory.mktemp("page"))


def printed(comparison, width):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_table(comparison, console)
    return console.file.getvalue()


def rows_of(comparison, folder):
    write_csv(comparison, folder / "table.csv")
    with open(folder / "table.csv", newline="") as file:
        return list(csv.reader(file))


# ---- table.csv


def test_csv_has_the_columns_in_order_and_every_method(comparison, tmp_path):
    header, *rows = rows_of(comparison, tmp_path)
    assert tuple(header) == COLUMNS
    assert [row[:2] for row in rows] == [[s.scenario, r.method] for s in comparison.scenarios for r in s.results]


def test_csv_keeps_failed_methods_with_their_sentence(comparison, tmp_path):
    header, *rows = rows_of(comparison, tmp_path)
    table = [dict(zip(header, row)) for row in rows]
    [ppo] = [row for row in table if row["status"] == "failed"]
    assert ppo["method"] == "ppo" and ppo["error"].startswith("Training diverged") and ppo["net_benefit"] == ""
    assert ppo["baseline"] == "false"


def test_equal_comparisons_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_csv(sweep(2, 4), tmp_path / name / "table.csv")
        write_markdown(sweep(2, 4), tmp_path / name / "table.md")
        write_page(sweep(2, 4), tmp_path / name)
    for name in ("table.csv", "table.md", "index.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (np.bool_(False), "false"), (1 / 3, "0.333333"), (np.float64(-0.0), "0"), (1234567, "1234567"),
     (1234567.0, "1.23457e+06"), (float("inf"), "inf"), ("a,b", "a,b")],
)  # fmt: skip
def test_cell(value, text):
    assert cell(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (0.01234, "0.0123"), (1.5, "1.500"), (-12.345, "-12.35"), (999.96, "1,000"),
     (123456.7, "123,457"), (2.5e9, "2,500M"), (float("inf"), "never")],
)  # fmt: skip
def test_amount(value, text):
    assert amount(value) == text


# ---- table.md and the terminal


def test_markdown_has_intervals_marks_the_baseline_and_says_why_a_method_failed(comparison, tmp_path):
    write_markdown(comparison, tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    best = comparison.scenarios[0].done[0]
    lower, upper = (amount(best.row[f"net_benefit_{end}"]) for end in ("lower", "upper"))
    assert f"{amount(best.row['net_benefit'])} \\[{lower}, {upper}\\]" in text
    assert text.count("| **base_stock (baseline)** |") == 3
    assert "| **ppo** | **failed** |" in text
    assert "- ppo failed: Training diverged at step 120: the loss is not a number." in text
    lines = text.split("## stationary_poisson")[1].splitlines()
    widths = {line.replace("\\|", "").count("|") for line in lines if line.startswith("|")}
    assert widths == {10}


def test_markdown_escapes_what_would_be_markup(comparison, tmp_path):
    first = comparison.scenarios[0]
    awkward = replace(first, scenario="a|b *c* <d>", note="line one\nline two")
    write_markdown(replace(comparison, scenarios=(awkward,)), tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    assert "## a\\|b \\*c\\* \\<d\\>" in text and "line one line two" in text


def test_summary_is_in_percent_of_the_operating_cost_of_the_baseline(comparison):
    scenario = comparison.scenarios[0]
    by_name = {result.method: result for result in scenario.results}
    base, best = by_name["base_stock"], by_name["residual_sac_on_base_stock"]
    cost = sum(base.components[name] for name in ("holding", "shortage", "ordering", "purchase"))
    assert scenario.relative(best) == pytest.approx(100 * best.row["difference"] / cost)
    assert scenario.relative(base) is None
    free = replace(base, components={}, row=base.row | {"operating_benefit": -50.0})
    again = replace(scenario, results=(free, replace(best, row=best.row | {"difference": 5.0})))
    assert again.relative(again.results[1]) == pytest.approx(10.0)  # 5 of |-50|


@pytest.mark.parametrize("width", [80, 100, 160])
def test_terminal_fits_its_width_and_cuts_no_name(comparison, width):
    text = printed(comparison, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "ppo failed: Training diverged at step 120" in " ".join(text.split())


def test_terminal_shows_name_number_interval_and_star(comparison):
    best = comparison.scenarios[0].done[0]
    half = float(f"{(best.row['difference_upper'] - best.row['difference_lower']) / 2:.2g}")
    line = next(line for line in printed(comparison, 100).splitlines() if line.startswith(f" {best.name} ") and "±" in line)
    assert f"* +{amount(best.row['difference'])} ± {half:,g}" in line


# ---- figures


def test_all_figures_are_drawn_and_have_captions(comparison):
    drawn = figures.all(comparison.scenarios[0])
    assert set(drawn) == {"difference", "risk", "costs", "distribution", "trajectory", "break_even", "learning"}
    assert set(CAPTIONS) == set(drawn) | {"network_map", "site_stock"}  # these in test_hierarchy.py
    assert all(svg.startswith("<?xml") and svg.rstrip().endswith("</svg>") for svg in drawn.values())
    sizes = [float(size) for svg in drawn.values() for size in re.findall(r"font-size: ([\d.]+)px", svg)]
    assert min(sizes) >= 11


def test_figures_without_a_baseline_leave_comparisons_out(comparison):
    scenario = comparison.scenarios[0]
    blank = {name: None for name in ("difference", "difference_lower", "difference_upper", "p_holm")}
    alone = replace(scenario, baseline="", results=tuple(replace(r, row=r.row | blank) for r in scenario.results))
    assert set(figures.all(alone)) == {"risk", "costs", "distribution", "trajectory", "learning"}
    assert figures.all(replace(scenario, results=(failed("x", "ppo"),))) == {}


def test_break_even_is_where_the_gain_pays_the_extra_cost_of_the_method(comparison):
    scenario = comparison.scenarios[0]
    base = next(result for result in scenario.results if result.method == "base_stock")
    rival = next(result for result in scenario.results if result.method == "s_S_policy")
    # gains 208 / 104 = 2 a period, costs 0.5 a period and 300 once more than the baseline: level after 300 / 1.5 = 200 periods
    rival = replace(rival, row=rival.row | {"difference": 208.0}, once=base.once + 300, per_period=base.per_period + 0.5)
    assert "ahead after 200<" in figures.all(replace(scenario, results=(base, rival)))["break_even"]
    dear = replace(rival, per_period=base.per_period + 2.5)
    assert "never ahead<" in figures.all(replace(scenario, results=(base, dear)))["break_even"]
    cheap = replace(dear, once=base.once - 300)  # 300 less at first, 0.5 more a period: level after 600
    assert "ahead until 600<" in figures.all(replace(scenario, results=(base, cheap)))["break_even"]


def test_each_learning_curve_is_beside_its_own_rule():
    """Two learners that validate at other costs: 30 above and 10 below their rules, whatever these earn."""

    def rows(rule, gains):
        return [{"step": 0, BASELINE: rule}, *({"step": n + 1, WORTH: rule + gain} for n, gain in enumerate(gains))]

    figure = Figure()
    curves.draw(figure, {"a": rows(40000.0, (-50, 30)), "b": rows(35000.0, (-70, -10))}, {"a": "red", "b": "blue"})
    ends = {line.get_color(): line.get_ydata()[-1] for line in figure.axes[0].lines if line.get_linewidth() == 1.8}
    assert ends == {"red": 30, "blue": -10} and figure.axes[0].get_ylabel() == curves.GAIN
    curves.draw(figure := Figure(), {"a": rows(40000.0, (-50, 30)), "b": rows(35000.0, (-70, -10))[1:]}, {"a": "red", "b": "blue"})
    ends = {line.get_color(): line.get_ydata()[-1] for line in figure.axes[0].lines if line.get_linewidth() == 1.8}
    assert ends == {"red": 40030, "blue": 34990}  # one has no rule: as they are


def test_trajectories_begin_with_the_baseline_and_only_one_is_shown(comparison):
    scenario = comparison.scenarios[0]
    svg = figures.all(scenario)["trajectory"]
    assert figures.chosen(scenario)[0].method == "base_stock"
    assert svg.count("data-choice=") == 9 and svg.count("display: none") == 8


def test_names_of_points_do_not_overlap():
    spots = [(100.0 + 3 * place, 100.0 + 2 * place) for place in range(9)]
    taken, frame = [(x - 7, y - 7, x + 7, y + 7) for x, y in spots], np.array([0.0, 0.0, 320.0, 240.0])
    for spot in spots:
        taken.append(figures._free_box(list(spot), 80.0, taken, frame))
    names = taken[9:]
    for place, one in enumerate(names):
        for other in taken[: 9 + place]:
            assert one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or other[1] >= one[3]


# ---- the page


class Addresses(HTMLParser):
    """Collects tags, ids and what a browser would ask for."""

    def __init__(self):
        super().__init__()
        self.tags, self.asked, self.ids = set(), [], []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.asked += [value for name, value in attributes if name in ("src", "href", "xlink:href", "srcset", "data", "action")]
        self.ids += [value for name, value in attributes if name == "id"]


def test_page_asks_for_nothing_and_repeats_no_id(page):
    text = page.read_text()
    parser = Addresses()
    parser.feed(text)
    assert [address for address in parser.asked if not address.startswith(("#", "data:"))] == []
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    assert len(parser.ids) == len(set(parser.ids))
    assert {address[1:] for address in parser.asked if address.startswith("#")} <= set(parser.ids)


def test_page_escapes_every_text(comparison, tmp_path):
    evil = "'\"><img src=x onerror=alert(1)></td></style></svg>&amp;$x^$"
    scenario = comparison.scenarios[0]
    results = (
        scenario.results[0],
        replace(scenario.results[1], method=evil, label=evil, row=scenario.results[1].row | {"method": evil}),
        replace(failed("x", "ppo", evil), method=evil + "2"),
    )
    awkward = replace(scenario, scenario=evil, note=evil, results=results)
    text = write_page(Comparison(evil, evil, (awkward, scenario), COLUMNS, {evil: evil}, evil), tmp_path).read_text()
    parser = Addresses()
    parser.feed(text)
    assert "img" not in parser.tags and "x" not in parser.asked
    assert text.count("</style>") == 1 and text.count("</svg>") == 6 + 7  # one scenario without a learner
    assert "&amp;amp;$x^$" in text


def test_page_is_small_and_explains_every_column(page):
    assert page.stat().st_size / 3 < 500_000  # a scenario: twelve of them stay below 6 MB
    assert set(HELP) == set(SHOWN)


def test_page_says_who_leads_and_who_failed(page, comparison):
    text = page.read_text()
    assert "Runs without a result: 1." in text
    assert "failed: Training diverged at step 120: the loss is not a number." in text
    assert "leads the baseline <b>base_<wbr>stock</b> by +" in text


# A browser runs this in a copy of the page: it notes what goes wrong, uses the controls, and reports to the page around it.
WATCH = """<script>
const wrong = [];
addEventListener("error", event => wrong.push(event.message || "a resource"), true);
console.error = console.warn = (...parts) => wrong.push(parts.join(" "));
addEventListener("load", () => setTimeout(() => {
  const table = document.querySelector("section table");
  const names = () => [...table.tBodies[0].rows].map(row => row.cells[0].dataset.value);
  const button = [...table.querySelectorAll("th button")].find(one => one.textContent === "std");
  button.click(); const down = names(); button.click(); const up = names();
  const select = document.querySelector("select"); select.value = "2"; select.dispatchEvent(new Event("change"));
  const shown = [...select.closest("figure").querySelectorAll("[data-choice]")].filter(part => part.style.display !== "none");
  parent.postMessage(JSON.stringify({ wrong, down, up, shown: shown.map(part => part.dataset.choice).join(),
    inner: innerWidth, scroll: document.documentElement.scrollWidth,
    asked: performance.getEntriesByType("resource").length, figures: document.querySelectorAll("figure svg").length }), "*");
}, 200));
</script>"""
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --virtual-time-budget=5000 --dump-dom"
).split()
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing")
@pytest.mark.parametrize("width", [390, 1280])
def test_browser_shows_the_page_without_errors_or_sideways_scrolling(page, comparison, tmp_path, width):
    (tmp_path / "copy.html").write_text(page.read_text().replace("<head>", "<head>" + WATCH, 1))
    frame = f'<iframe src="copy.html" style="width:{width}px;height:800px;border:0"></iframe>'
    listen = '<script>addEventListener("message", event => { document.body.dataset.report = event.data })</script>'
    (tmp_path / "frame.html").write_text(f"<!DOCTYPE html><body>{listen}{frame}")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "frame.html").as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=50).stdout
    found = re.search(r'data-report="([^"]*)"', dumped)
    assert found, "the page never reported that it was loaded"
    report = json.loads(html.unescape(found[1]))
    assert report["wrong"] == []
    assert report["inner"] == width and report["scroll"] <= width
    assert report["asked"] == 0
    assert report["figures"] == 21  # seven of each of three scenarios
    expected = [result.name for result in sorted(comparison.scenarios[0].done, key=lambda result: -result.row["std"])]
    assert report["down"] == expected and report["up"] == expected[::-1]
    assert report["shown"] == "2"
