"""Searching: spaces, proposals that a kill does not change, trials side by side, what is judged, the table and the page."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from invbench import configs, jobs
from invbench.jobs import Refused
from invbench.problem import Problem
from invbench.report import searching
from invbench.search import driver, judging, request, trials, tuned
from invbench.search import space as spaces
from invbench.search.space import Parameter, Space

SMALL = ["evaluation.paths=8", "evaluation.horizon=12", "evaluation.validation_paths=8", "tracker=none"]
PEAK = Space(
    "peak", "eoq", (),
    (Parameter("x", 0.001, 1.0, log=True), Parameter("n", 1, 9), Parameter("c", choices=("a", "b"))), {},
)  # fmt: skip
USUAL = {"trials": 20, "sampler": "tpe", "seed": 0, "batch": 1, "startup": 6, "grid": 3, "weights": None}


def asked(folder, *arguments):
    return request.parsed([*arguments, *SMALL, f"outputs={folder}"], "invbench search")


def worth(params):
    """Greatest, 1, at x = 0.3, n = 4, c = a."""
    return (params["c"] == "a") - (math.log(params["x"] / 0.3)) ** 2 / 10 - (params["n"] - 4) ** 2 / 10


def run_all(path, stop=None, first=None, values=lambda params: [worth(params)], **settings):
    """A search of PEAK that ends, as killed, before trial `stop` is told."""
    settings = USUAL | settings
    count = len(values({"x": 1, "n": 1, "c": "a"}))
    kept = trials.opened(path, PEAK, settings, ["maximize"] * count, first)
    while batch := kept.batch():
        if stop is not None and batch[-1].place >= stop:
            return kept
        for one in batch:
            kept.note(one, values(one.params), "")
        kept.tell(batch)
    return kept


def test_points_of_a_grid_and_what_a_range_allows():
    assert Parameter("x", 0.01, 1.0, log=True).points(3) == pytest.approx([0.01, 0.1, 1])
    assert Parameter("n", 7, 28, step=7).points(2) == [7, 14, 21, 28]
    assert Parameter("n", 1, 3).points(5) == [1, 2, 3]
    assert Parameter("c", choices=("a", "b")).points(9) == ["a", "b"]
    steps = Parameter("n", 7, 28, step=7)
    assert steps.allows(14) and not steps.allows(15) and not steps.allows(35) and not steps.allows("7")
    assert Parameter("f", choices=("true", "[1,2]")).allows(True) and Parameter("f", choices=("[1,2]",)).allows([1, 2])


def test_a_parameter_that_does_not_apply_is_left_out():
    space = Space("s", "m", (), (Parameter("f.p", 1, 9, when=("f", "b")), Parameter("f", choices=("a", "b"))), {})
    assert space.overridden({"f": "a", "f.p": 3}) == ["f=a"]
    assert space.overridden({"f": "b", "f.p": 3}) == ["f=b", "f.p=3"]


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid", "nsgaii"])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_killed_search_proposes_what_an_uninterrupted_one_does(tmp_path, sampler, batch):
    settings = dict(sampler=sampler, batch=batch, trials=14)
    whole = run_all(tmp_path / "whole.db", **settings).all()
    for stop in (3, 10):
        run_all(tmp_path / "killed.db", stop=stop, **settings)
    assert run_all(tmp_path / "killed.db", **settings).all() == whole
    assert [one.place for one in whole] == list(range(14)) and all(one.state == "done" for one in whole)
    other = run_all(tmp_path / "other.db", seed=1, **settings).all()
    assert [one.params for one in other] != [one.params for one in whole]


def test_a_proposal_that_a_kill_cut_short_counts_for_nothing(tmp_path):
    whole = run_all(tmp_path / "whole.db", trials=12).all()
    kept = run_all(tmp_path / "partial.db", stop=8, trials=12)
    kept.study.ask()  # without its parameters
    assert run_all(tmp_path / "partial.db", trials=12).all() == whole


def test_a_grid_has_every_point_once_and_tpe_finds_the_peak(tmp_path):
    grid = run_all(tmp_path / "grid.db", sampler="grid", trials=None, grid=3).all()
    assert len(grid) == 3 * 3 * 2 == len({tuple(one.params.values()) for one in grid})
    tpe, random = (run_all(tmp_path / f"{name}.db", sampler=name, trials=40) for name in ("tpe", "random"))
    last = lambda kept: np.mean([one.values[0] for one in kept.all()[20:]])  # noqa: E731
    assert tpe.best().values[0] > 0.9 and last(tpe) > last(random) + 0.3
    shares = trials.importances(tpe)
    assert set(shares) == {"x", "n", "c"} and sum(shares.values()) == pytest.approx(1)


def test_the_importance_of_a_parameter_that_does_nothing_is_small(tmp_path):
    kept = run_all(tmp_path / "a.db", sampler="random", trials=40, values=lambda params: [-((params["n"] - 4) ** 2)])
    shares = trials.importances(kept)
    assert list(shares)[0] == "n" and shares["n"] > 0.5


def test_the_front_and_its_best(tmp_path):
    both = lambda params: [worth(params), -float(params["n"])]  # noqa: E731
    kept = run_all(tmp_path / "a.db", trials=30, sampler="nsgaii", values=both)
    done, front = kept.done(), {one.place for one in kept.front()}
    beats = lambda a, b: a.values != b.values and all(x >= y for x, y in zip(a.values, b.values))  # noqa: E731
    assert front == {one.place for one in done if not any(beats(other, one) for other in done)}
    assert kept.best().values[0] == max(one.values[0] for one in done)
    turned = trials.Trials(kept.study, PEAK, kept.settings | {"weights": [0.0, 1.0]}, None)
    assert turned.best().values[1] == max(one.values[1] for one in done)


def test_equal_searches_give_equal_tables_and_pages(tmp_path):
    def shown(path):
        kept = run_all(path, trials=10, sampler="random")
        return searching.Search(
            "t", "c", ("validation/benefit",), (True,), PEAK.parameters, tuple(kept.all()), frozenset({kept.best().place}),
            kept.best().place, trials.importances(kept), {}, (), "",
        )  # fmt: skip

    one, two = shown(tmp_path / "a.db"), shown(tmp_path / "b.db")
    assert searching.table(one) == searching.table(two) and searching.html(one) == searching.html(two)
    lines = searching.table(one).splitlines()
    assert lines[0] == "trial,state,validation/benefit,x,n,c,front,best,reason" and len(lines) == 11
    assert searching.html(one).count("<svg") == 2 + 3  # history and importance, and a slice for each parameter


# ---- jobs


NEWEST = "lstm transformer lstm_money learned_s_S online bounded ensemble model_predictive generalist".split()


def unknown(space, names):
    """Those of `names` that are no field: of the files of its groups or, where one is not there, of the method as composed."""
    own = {f"method.{field}" for field in load("method", space.method)}
    forecasts = {f"forecast.{field}" for name in configs.groups()["forecast"] for field in load("forecast", name)}
    left = {*names} - own - forecasts - {"tuning.paths", "tuning.candidates", "tuning.rounds"}
    if left:
        config, _ = configs.compose([f"method={space.method}", *space.overrides])
        left -= leaves("method", OmegaConf.to_container(config.method, resolve=False))
    return left


def load(group, name):
    return OmegaConf.load(configs.home() / group / f"{name}.yaml")


def leaves(prefix, tree):
    """Dotted names of everything in a tree."""
    inner = [leaves(f"{prefix}.{name}", value) for name, value in tree.items() if isinstance(value, dict)]
    return {*(f"{prefix}.{name}" for name in tree), *(name for part in inner for name in part)}


def test_every_space_names_fields_and_choices_that_there_are():
    found = {name: spaces.load(name) for name in configs.groups()["space"]}
    assert {"hdpo", "ppo", "sac", "dqn", "deep_controlled_learning", "residual_rl", "imitation", "forecast_s_S"} <= found.keys()
    assert {*NEWEST} <= found.keys()
    for name, space in found.items():
        groups = [one for one in space.parameters if "." not in one.name or "@" in one.name]
        assert not unknown(space, [one.name for one in space.parameters if one not in groups]), name
        for one in groups:
            assert set(one.choices) <= set(configs.groups()[one.name.split("@")[0]]), name
        request.settings_of(space, ())


@pytest.mark.parametrize("name", ["forecast_s_S", "hdpo", "residual_rl", "imitation", *NEWEST])
def test_what_the_yaml_says_is_in_the_space_and_comes_first(name):
    first = asked("out", f"+space={name}").first
    assert first.keys() == {one.name for one in spaces.load(name).parameters}


def test_a_search_never_draws_evaluation_paths(tmp_path, monkeypatch):
    """What judges the best is put off; everything before it runs without evaluation paths."""

    def refused(self, n):
        raise AssertionError("evaluation paths were drawn")

    monkeypatch.setattr(Problem, "evaluation_paths", refused)
    made = asked(tmp_path, "+space=eoq", "search.trials=4", "name=blind")
    with pytest.raises(AssertionError, match="evaluation paths were drawn"):
        driver.search(made)  # from the job of the best alone
    kept = trials.opened(made.folder / driver.DATABASE, made.space, made.settings, ["maximize"], made.first)
    assert len(kept.done()) == 4
    monkeypatch.undo()
    drawn, original = [], Problem.evaluation_paths
    monkeypatch.setattr(Problem, "evaluation_paths", lambda self, n: drawn.append(n) or original(self, n))
    found = driver.search(made)
    assert drawn == [8] and jobs.damage(found.job) == ""


def test_a_trial_is_worth_what_the_job_of_its_config_says(tmp_path):
    found = driver.search(asked(tmp_path, "+space=eoq", "search.trials=3", "name=same"))
    told = jobs.read_json(found.job / "report.json")
    assert found.best.values[0] == pytest.approx(told["validation"]["value"], rel=1e-6)
    assert yaml.safe_load((found.job / jobs.CONFIG).read_text())["method"]["periods"] == found.best.params["method.periods"]


HDPO = ["method.updates=20", "method.paths=4", "method.validation_paths=8", "tuning.paths=8", "tuning.candidates=8"]
HDPO += ["tuning.rounds=1", "method.hidden=[4]", "method.unroll=4"]


def test_trials_side_by_side_are_worth_what_each_is_alone(tmp_path, monkeypatch):
    together = []
    side_by_side = judging.side_by_side
    monkeypatch.setattr(judging, "side_by_side", lambda many, place: together.append(len(many)) or side_by_side(many, place))
    search = lambda name, batch: driver.search(  # noqa: E731
        asked(
            tmp_path,
            "+space=hdpo_rates",
            "search.trials=3",
            "search.sampler=random",
            f"search.batch={batch}",
            f"name={name}",
            *HDPO,
        )
    )
    alone, beside = search("alone", 1).trials.all(), search("beside", 3).trials.all()
    assert together == [3]
    assert [one.params for one in beside] == [one.params for one in alone]
    np.testing.assert_allclose([one.values for one in beside], [one.values for one in alone], rtol=1e-5)
    assert len({one.values for one in alone}) == 3


def test_configs_that_differ_in_more_than_rates_are_not_trained_together(tmp_path):
    made = asked(tmp_path, "+space=hdpo", *HDPO[:-2])
    rates = {"method.learning_rate": 0.01, "method.clip": 1.0, "method.restart": 0.1}
    plain = [
        judging.run.resolve(made.config(rates | {"method.learning_rate": rate, "method.hidden": hidden, "method.unroll": "16"}))
        for rate, hidden in ((0.01, "[16,16]"), (0.02, "[16,16]"), (0.02, "[32,32]"))
    ]
    assert judging.alike(plain) == [[0, 1], [2]]
    eoq = asked(tmp_path, "+space=eoq")
    assert judging.alike([judging.run.resolve(eoq.config({"method.periods": n})) for n in (3, 4)]) == [[0], [1]]


def test_failed_trials_are_recorded_and_survived(tmp_path, monkeypatch):
    values = judging.values
    bad = lambda plain, policy, goals: [math.nan] if plain["method"]["periods"] == 2 else values(plain, policy, goals)  # noqa: E731
    monkeypatch.setattr(judging, "values", bad)
    space = tmp_path / "three.yaml"
    space.write_text("method: eoq\nparameters:\n  method.periods: {choices: [1, 2, -3]}\n")
    found = driver.search(asked(tmp_path, f"+space={space}", "search.sampler=grid", "search.trials=null", "name=odd"))
    states = {one.params["method.periods"]: (one.state, one.reason) for one in found.trials.all()}
    assert states["1"] == ("done", "") and found.best.params == {"method.periods": "1"}
    assert states["2"][0] == states["-3"][0] == "failed"
    assert "method.periods must be a whole number" in states["-3"][1] and "must be numbers, got nan" in states["2"][1]
    assert "method.periods must be" in (found.request.folder / "trials.csv").read_text()


def test_a_trial_in_which_the_process_always_ends_is_given_up(tmp_path):
    made = asked(tmp_path, "+space=eoq", "search.trials=2", "search.attempts=2", "name=poison")
    made.folder.mkdir(parents=True)
    kept = trials.opened(made.folder / driver.DATABASE, made.space, made.settings, ["maximize"], made.first)
    first = kept.batch()[0]
    assert [kept.attempt(first), kept.attempt(first)] == [1, 2]
    found = driver.search(made)
    assert [one.state for one in found.trials.all()] == ["failed", "done"]
    assert found.trials.all()[0].reason == "the process ended in it 2 times"


def test_what_is_tuned_is_a_delta(tmp_path):
    overrides = ["method=residual_rl", "method@method.learner=hdpo", "scenario=stable", "method@method.rule=s_S"]
    overrides += ["method.learner.hidden=[8,8]", "tuning.paths=9", "evaluation.paths=3"]
    assert tuned.delta(overrides) == {
        "defaults": [
            {"override /method": "residual_rl"},
            {"override /method@method.learner": "hdpo"},
            {"override /method@method.rule": "s_S"},
        ],
        "method": {"learner": {"hidden": [8, 8]}},
        "tuning": {"paths": 9},
    }
    tuned.write(tmp_path / "best.yaml", overrides, "a remark")
    config, chosen = configs.compose(tuned.arguments([f"+tuned={tmp_path / 'best.yaml'}", "scenario=trend"]))
    assert chosen["method@method.rule"] == "s_S" and config.method.learner.hidden == [8, 8]
    assert config.tuning.paths == 9 and config.method.rule.tuning.paths == 9 and config.names.scenario == "trend"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("method: eoq\n", "a space must be a mapping"),
        ("method: eoq\nparameters: {method.periods: {low: 3, high: 1}}\n", "a range with low < high"),
        ("method: eoq\nparameters: {method.periods: {low: 0, high: 9, log: true}}\n", "above 0"),
        ("method: eoq\nparameters: {method.periods: {lo: 0, high: 9}}\n", "a mapping with"),
        ("method: eoq\nparameters: {method.period: {low: 1, high: 9}}\n", "period"),
        ("method: no_such\nparameters: {method.periods: {low: 1, high: 9}}\n", "no_such"),
        ("method: eoq\nparameters: {forecast: {choices: [weekday, nothing]}}\n", "nothing"),
        ("method: eoq\nsearch: {trails: 3}\nparameters: {method.periods: {low: 1, high: 9}}\n", "trails"),
        ("method: eoq\nparameters: {method.periods: {low: 1, high: 9, when: {forecast: weekday}}}\n", "when"),
        ("[", "space bad.yaml"),
    ],
)
def test_a_space_that_is_wrong_is_refused_in_a_sentence(tmp_path, text, sentence):
    path: Path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(Refused) as refused:
        asked(tmp_path, f"+space={path}")
    assert sentence in str(refused.value) and "\n" not in str(refused.value)
