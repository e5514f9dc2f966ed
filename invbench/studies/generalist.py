"""One network on settings that it never saw, without a step of training on them: beside the best base-stock level of each, and
the optimum where one can be computed."""

import csv
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invbench import jobs, saved
from invbench import problem as problems
from invbench.checks import require, whole
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.exact import chain, optimum
from invbench.keys import named, root
from invbench.learning import across, checkpoint, settings
from invbench.learning.networks import Layers
from invbench.learning.settings import Ranges, Settings
from invbench.methods.base_stock import BaseStock
from invbench.methods.generalist import Generalist, with_weight
from invbench.problem import Problem
from invbench.progress import say
from invbench.report import scatter
from invbench.scenarios import negative_binomial, poisson
from invbench.studies import pages, printed
from invbench.studies.cells import Cell
from invbench.studies.printed import Printed, track
from invbench.tracker import Log, Tracker
from invbench.tuning import Budget
from invbench.types import Policy

WIDE = 8  # settings of one lead time and kind of demand that move together
RESAMPLES = 2000
FRONT = Settings(9.0, 10.0, 1 / 10**0.5, True, 4)  # Poisson demand of 10 a period
COLUMNS = (
    "place lead_time shortage mean cv whole base_stock generalist_seed gap optimum gap_to_optimum base_stock_to_optimum".split()
)


class Row(NamedTuple):
    """One setting, with costs a period; gaps in per cent."""

    place: str  # inside, or what it is outside of
    setting: Settings  # of numbers
    base_stock: float  # of the level that is the best on training paths
    costs: tuple[float, ...]  # of each network
    least: float | None = None  # exact, in the long run
    exact: tuple[float, ...] = ()  # of each network, likewise
    base_stock_exact: float | None = None

    @property
    def gaps(self) -> np.ndarray:
        """[seed] per cent by which the network costs more than the best base-stock level."""
        return 100 * (np.asarray(self.costs) / self.base_stock - 1)

    @property
    def above(self) -> np.ndarray:
        """[seed] per cent by which it costs more than the optimum."""
        return 100 * (np.asarray(self.exact) / self.least - 1)


@dataclass(frozen=True)
class ZeroShot(Printed):
    """Trains the networks of `learner` once, and judges each on settings that are drawn apart; every field is in the YAML."""

    title: ClassVar[str] = (
        "One network across problems, zero-shot: cost beside the best base-stock level of each setting, per cent"
    )
    table: ClassVar[str] = "generalist"

    learner: Generalist
    tuning: Budget
    settings: int
    outside: dict[str, Ranges]
    outside_settings: int
    paths: int
    horizon: int
    optimum_lead_time: int
    optimum_mean: float
    weights: list[float]

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write published.csv, settings.csv, table.md, index.html and the network; exit code 0."""
        self._check()
        started = time.perf_counter()
        networks, curve = self._networks(folder, config)
        rows = [row for place, drawn in self._drawn(config["seed"]) for row in self._rows(place, drawn, networks, config["seed"])]
        front = self._front(networks[0], config["seed"])
        cells = list(summary(rows))
        code = self.write(folder, cells)
        jobs.write(folder / "settings.csv", as_csv(rows))
        jobs.write(folder / "front.csv", _csv(["rule", "weight_or_level", "fill_rate", "held"], front))
        self._keep(folder, networks[0], config)
        files = ("published.csv", "settings.csv", "front.csv", "table.md")
        outcome = pages.Outcome(
            self.table, self.title, tuple(cells), time.perf_counter() - started, code, files=files,
            figures=tuple(_figures(rows, front)), beside=True,
        )  # fmt: skip
        jobs.write(folder / "index.html", pages.html(self.title, [outcome]))
        printed.show(self.title, cells)
        return code

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """The summary alone."""
        self._check()
        networks, _ = across.train(self._keys(config["seed"]), self.learner.plan(), Log(Tracker(), None))
        drawn = self._drawn(config["seed"])
        return list(summary([row for place, one in drawn for row in self._rows(place, one, networks, config["seed"])]))

    def _check(self) -> None:
        for name in ("settings", "outside_settings", "paths", "horizon"):
            whole(f"study.{name}", getattr(self, name), low=2)
        require(self.learner.forecast is None, "study.learner.forecast", "null: demand is the same in every period", "one")
        require(len(self.weights) > 1, "study.weights", "a list of weights", self.weights)

    def _keys(self, seed: int) -> jax.Array:
        return jax.random.split(root(seed, "method", "generalist"), self.learner.seeds)

    def _networks(self, folder: Path, config: dict[str, Any]) -> tuple[list[Layers], list[dict]]:
        """A network of each seed. What was trained before is kept in the training place, and gone on from."""
        log = Log(Tracker(), folder.parent / "training" / folder.name)
        networks, worth = across.train(self._keys(config["seed"]), self.learner.plan(), log)
        say("generalist: cost on validation settings " + ", ".join(f"{-one:.4f}" for one in worth))
        return networks, log.curve

    def _drawn(self, seed: int) -> Iterator[tuple[str, Settings]]:
        """Inside the training ranges, then outside of each of them in turn; by keys that training never uses."""
        places = {"inside": (self.learner.ranges, self.settings)}
        places |= {name: (ranges, self.outside_settings) for name, ranges in self.outside.items()}
        for name, (ranges, count) in places.items():
            random = np.random.default_rng(np.asarray(jax.random.key_data(root(seed, "unseen settings", name))))
            yield name, ranges.drawn(random, np.resize(ranges.spans, count))

    def _rows(self, place: str, drawn: Settings, networks: list[Layers], seed: int) -> Iterator[Row]:
        """Every setting, lead time by lead time and kind by kind."""
        kinds = [(span, counted) for span in np.unique(drawn.lead_time) for counted in (False, True)]
        for span, counted in track(kinds, f"settings {place}"):
            chosen = np.flatnonzero((drawn.lead_time == span) & (drawn.whole == counted))
            for first in range(0, len(chosen), WIDE):
                part = chosen[first : first + WIDE]
                wide = Settings(*(one[np.resize(part, WIDE)] for one in drawn))  # of one width: compiled once for a lead time
                found = self._costs(wide, networks, root(seed, "generalist study", place, f"{span} {counted} {first}"))
                for i in range(len(part)):
                    one = Settings(*(field[part[i]].item() for field in drawn))
                    yield self._proved(Row(place, one, found[0][0][i], tuple(found[1][:, i])), networks, found[0][1][i])

    def _costs(self, wide: Settings, networks: list[Layers], key: jax.Array) -> tuple[tuple, np.ndarray]:
        """Of the best level: cost [setting] and the level; of each network: cost [seed, setting]. Money a period."""
        posed = self._posed(wide)
        rule = BaseStock(self.tuning).fit(posed, named(key, "base stock"), _ignore)
        paths = posed.training_paths(named(key, "judged"), self.paths)  # by a key of their own: nothing was fitted on them
        policies = [rule, *self._told(posed, networks, named(key, "told"))]
        costs = [-np.asarray(posed.benefit(policy, paths), np.float64).mean(0) / self.horizon for policy in policies]
        return (costs[0], np.asarray(rule.params["level"])), np.stack(costs[1:])

    def _told(self, posed: Problem, networks: list[Layers], key: jax.Array) -> list[Policy]:
        """The policy of every network; what they are told is read off the problem once."""
        first = self.learner.told(posed, networks[0], key, _ignore)
        return [first._replace(params=replace(first.params, layers=layers)) for layers in networks]

    def _posed(self, wide: Settings, scenario: Any = None) -> Problem:
        shortage = np.asarray(wide.shortage, np.float32)
        shortage = float(shortage[0]) if shortage.size == 1 else shortage
        cost = CostModel(price=0.0, purchase=0.0, holding=1.0, shortage=shortage, fixed_order=0.0, salvage=0.0)
        system = single.create(lead_time=int(np.max(wide.lead_time)), backlog=False, initial_stock=None)
        given = dict(information="known", history=0, window=0, horizon=self.horizon, seed=0, evaluation_seed=0)
        return problems.create(scenario or settings.varied(wide), system, cost, **given).for_fitting()

    def _proved(self, row: Row, networks: list[Layers], level: float) -> Row:
        """The row with exact costs in the long run, where the optimum can be computed in seconds."""
        one = row.setting
        if not one.whole or one.lead_time > self.optimum_lead_time or one.mean > self.optimum_mean:
            return row
        dispersion = one.mean * one.cv**2
        demand = (
            negative_binomial.create(mean=one.mean, dispersion=dispersion, items=1)
            if dispersion > 1 + 1e-6
            else poisson.create(mean=one.mean, items=1)
        )
        posed = self._posed(Settings(*(np.asarray([part]) for part in one)), demand)
        policies = self._told(posed, networks, root(0, "told"))
        rule = Policy({"level": jnp.full(1, level, jnp.float32)}, policy_of_level)
        posed = replace(posed, system=replace(posed.system, initial_stock=np.zeros(1, np.float32)))
        exact = [np.mean(chain.average(posed, policy, tolerance=1e-7)[:2]) for policy in (*policies, rule)]
        return row._replace(
            least=optimum.find(posed, horizon="infinite").value, exact=tuple(exact[:-1]), base_stock_exact=exact[-1]
        )

    def _front(self, layers: Layers, seed: int) -> list[list[Any]]:
        """Fill rate and stock of one setting, at every weight of shortage from one network, and at every base-stock level."""
        weights = np.asarray(self.weights, float)
        posed = self._posed(Settings(*(np.full(len(weights), part) for part in FRONT)))
        paths = posed.training_paths(root(seed, "front"), self.paths)
        policy = with_weight(self.learner, weights).told(posed, layers, root(seed, "front told"), _ignore)
        middle, spread = FRONT.mean * (FRONT.lead_time + 1), (FRONT.mean * (FRONT.lead_time + 1)) ** 0.5
        levels = np.round(np.linspace(middle - spread, middle + 3 * spread, len(weights)))
        rule = Policy({"level": jnp.asarray(levels, jnp.float32)}, policy_of_level)
        found = []
        for name, places, one in (("generalist", weights, policy), ("base_stock", levels, rule)):
            flows = posed.totals(one, paths)
            fill = np.asarray(flows.sold, np.float64).sum(0) / np.asarray(flows.demand, np.float64).sum(0)
            held = np.asarray(flows.held, np.float64).mean(0) / self.horizon
            found += [[name, *numbers] for numbers in zip(places.tolist(), fill.tolist(), held.tolist())]
        return found

    def _keep(self, folder: Path, layers: Layers, config: dict[str, Any]) -> None:
        """The first network as a policy on the setting of the front, for method.policy."""
        posed = self._posed(Settings(*(np.asarray([part]) for part in FRONT)))
        policy = self.learner.told(posed, layers, root(0, "told"), _ignore)
        checkpoint.save_policy(folder / saved.NAME, policy, jobs.content(config), saved.reads(policy, posed))


def policy_of_level(params: dict, observation: Any, key: Any) -> Any:
    """Up to `level` [item]."""
    return params["level"] - observation.position


def summary(rows: list[Row]) -> Iterator[Cell]:
    """The median over settings with its 95 % interval, quartiles and shares; the mean over seeds, and each seed."""
    for place in dict.fromkeys(row.place for row in rows):
        yield from _summary(place, [row for row in rows if row.place == place])
    inside = [row for row in rows if row.place == "inside"]
    for span in sorted({row.setting.lead_time for row in inside}):
        part = [row for row in inside if row.setting.lead_time == span]
        yield from _summary(f"inside, lead time {span}", part, brief=True)


def _summary(title: str, rows: list[Row], brief: bool = False) -> Iterator[Cell]:
    gaps = np.stack([row.gaps for row in rows])  # [setting, seed]
    note = f"median over {len(rows)} settings, of the mean over {gaps.shape[1]} networks; 95 % interval by resampling settings"
    yield _median(title, "gap to best base-stock, median", gaps.mean(1), note)
    proved = [row for row in rows if row.least is not None]
    if proved:
        above = np.stack([row.above for row in proved]).mean(1)
        found = f"median over the {len(proved)} settings whose optimum was computed; exact, in the long run"
        yield _median(title, "gap to optimum, median", above, found)
        rule = np.asarray([100 * (row.base_stock_exact / row.least - 1) for row in proved])
        yield _median(title, "base-stock's gap to optimum, median", rule, found)
    if brief:
        return
    for share in (5, 95):
        yield Cell(title, f"gap, {share} % quantile", None, _short(np.percentile(gaps.mean(1), share)))
    yield Cell(title, "settings cheaper than base-stock, %", None, _short(100 * (gaps.mean(1) < 0).mean()))
    if gaps.shape[1] > 1:
        yield Cell(title, "gap of the worst network, median", None, _short(np.median(gaps, axis=0).max()))


def _median(title: str, quantity: str, values: np.ndarray, note: str) -> Cell:
    random = np.random.default_rng(0)
    again = np.median(values[random.integers(0, len(values), (RESAMPLES, len(values)))], axis=1)
    lower, upper = np.percentile(again, [2.5, 97.5]).tolist()
    return Cell(title, quantity, None, _short(np.median(values)), lower=_short(lower), upper=_short(upper), note=note)


def _short(per_cent: float) -> float:
    """To hundredths: more would be noise."""
    return round(float(per_cent), 2)


def as_csv(rows: list[Row]) -> str:
    """A line for each setting and network."""
    lines = []
    for row in rows:
        one, known = row.setting, row.least is not None
        for seed, cost in enumerate(row.costs):
            proved = [row.least, row.above[seed], 100 * (row.base_stock_exact / row.least - 1)] if known else [None] * 3
            given = [row.place, one.lead_time, one.shortage, one.mean, one.cv, one.whole, row.base_stock]
            lines.append([*given[:6], row.base_stock, cost, row.gaps[seed], *proved])
    return _csv([*COLUMNS[:7], "generalist", *COLUMNS[8:]], lines)


def _csv(columns: list[str], lines: list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    shown = lambda value: "" if value is None else f"{value:.9g}" if isinstance(value, float) else value  # noqa: E731
    writer.writerows([shown(value) for value in line] for line in lines)
    return text.getvalue()


def _figures(rows: list[Row], front: list[list[Any]]) -> Iterator[tuple[str, str]]:
    """(caption, SVG)."""
    inside = [row for row in rows if row.place == "inside"]
    points = {
        f"lead time {span}": [(row.setting.shortage, row.gaps.mean()) for row in inside if row.setting.lead_time == span]
        for span in sorted({row.setting.lead_time for row in inside})
    }
    yield (
        "cost of the network beside the best base-stock level of each unseen setting; below the line it is cheaper",
        scatter.alone("gaps", points, "cost of a unit lost / of holding one", "gap, %", line=0.0, log=True),
    )
    lines = {name: [(one[2], one[3]) for one in front if one[0] == name] for name in ("generalist", "base_stock")}
    yield (
        "one network at every weight of shortage (Poisson demand of 10, lead time 4): stock that a fill rate needs",
        scatter.alone("front", lines, "fill rate", "units on hand", joined=True),
    )


def _ignore(metrics: dict[str, float], step: int) -> None:
    """Nobody watches what is tuned here."""
