"""The printed tables themselves, each as its command computes it; and all of them in one run."""

import csv
import json
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from command import invbench

from invbench import run
from invbench.studies import all_tables
from invbench.studies.all_tables import TITLE, AllTables, compose, markdown
from invbench.studies.cells import Cell, tally
from invbench.studies.pages import Outcome, html, total
from invbench.studies.printed import Printed

ZHENG = "zheng_federgruen1991"


def cells(name, folder, *overrides):
    plain = compose(name, list(overrides), folder / name)
    return run.build(plain["study"]).cells(plain)


def test_zheng_federgruen_agrees_in_all_24_rows(tmp_path):
    found = cells(ZHENG, tmp_path)
    assert len({cell.instance for cell in found}) == 24 and len(found) == 72
    assert [cell for cell in found if not cell.agrees] == []
    assert {cell.quantity: cell.ours for cell in found if cell.instance == "mean 75"} == {
        "s": 67, "S": 86, "cost": pytest.approx(79.554, abs=5e-4),  # (66, 86) costs the same; print has 67
    }  # fmt: skip


def test_what_is_not_printed_is_ours_alone(tmp_path):
    mixed = cells(ZHENG, tmp_path, "study.means=[10,33]")
    assert [cell.published is None for cell in mixed] == [False] * 3 + [True] * 3
    assert all(cell.published is None for cell in cells(ZHENG, tmp_path, "study.means=[10]", "study.holding=2"))


@pytest.mark.parametrize(
    "override, sentence",
    [
        ("study.holding=0", "study.holding must be a number > 0, got 0"),
        ("study.means=[]", r"study.means must be a list of different means, got \[\]"),
        ("study.means=[10,-1]", "study.means must be a number > 0 and <= 10000, got -1"),
        ("study.lead_time=0.5", "study.lead_time must be a whole number >= 0, got 0.5"),
    ],
)
def test_zheng_federgruen_refuses_what_makes_no_sense(override, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        cells(ZHENG, tmp_path, override)


@dataclass(frozen=True)
class Fails(Printed):
    """A table with a cell that differs."""

    title: ClassVar[str] = "Printed <wrong>"
    table: ClassVar[str] = "fails"

    def cells(self, config):
        return [Cell("p = 4 & more", "Optimal", 1.0, 1.5), Cell("p = 9", "Optimal", 1.0, 1.0)]


def summary(folder):
    with open(folder / "summary.csv", newline="") as file:
        return {row["table"]: row for row in csv.DictReader(file)}


def test_all_tables_goes_on_after_a_table_that_raises(tmp_path, capsys):
    study = AllTables([ZHENG, "reference", "no_such"], {ZHENG: ["study.means=[10,15]"]})
    assert study.run(tmp_path, {}) == 1
    rows = summary(tmp_path)
    assert list(rows[ZHENG]) == "table agree of misprints largest_deviation seconds exit_code error".split()
    assert [rows[ZHENG][name] for name in ("agree", "of", "misprints", "exit_code", "error")] == ["6", "6", "0", "0", ""]
    assert rows["reference"]["exit_code"] == rows["no_such"]["exit_code"] == "1"
    assert rows["reference"]["error"] == "study.tables must be a list of printed tables, got 'reference'"
    assert rows["no_such"]["error"].startswith("study.tables must be among the experiments ablation, ablation_holidays, all_tables, ")
    config = yaml.safe_load((tmp_path / ZHENG / "config.yaml").read_text())
    assert config["study"]["means"] == [10, 15] and config["names"]["experiment"] == ZHENG
    assert (config["outputs"], config["name"]) == (str(tmp_path), ZHENG)
    assert {path.name for path in (tmp_path / ZHENG).iterdir()} == {"config.yaml", "published.csv", "table.md", "study.json"}
    last = capsys.readouterr().out.rstrip("\n").splitlines()[-1]
    assert last.startswith(f"6 of 6 agree, largest deviation 0.000445 ({ZHENG}: mean 10, cost); 2 of 3 tables could not")
    assert last in (tmp_path / "summary.md").read_text()


def test_all_tables_fails_with_a_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(all_tables.run, "build", lambda part: Fails())
    assert AllTables([ZHENG]).run(tmp_path, {}) == 1
    assert summary(tmp_path)[ZHENG]["agree"] == "1" and summary(tmp_path)[ZHENG]["exit_code"] == "1"
    assert json.loads((tmp_path / ZHENG / "study.json").read_text()) == {"exit_code": 1}


@pytest.mark.parametrize("tables", [[], [ZHENG, ZHENG], ["../outside"], [3]])
def test_all_tables_refuses_a_bad_list(tables, tmp_path):
    with pytest.raises(ValueError, match="study.tables must be a list of names of different experiments"):
        AllTables(tables).run(tmp_path / "in", {})
    assert not (tmp_path / "outside").exists()


def test_all_tables_refuses_overrides_of_a_table_that_it_does_not_run(tmp_path):
    with pytest.raises(ValueError, match="study.overrides must be of tables that study.tables lists, got 'zipkin2008'"):
        AllTables([ZHENG], {"zipkin2008": []}).run(tmp_path, {})


class Page(HTMLParser):
    """Links, ids and visible text of a page; open tags must close in order."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.open, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.links += [given["href"]] if tag == "a" else []
        self.ids += [given["id"]] if "id" in given else []
        self.open += [] if tag in ("meta", "link") else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_escapes_shows_every_cell_and_links_to_what_exists(tmp_path):
    found = tuple(Fails().cells({}))
    good = Outcome("fails", Fails.title, found, 1.25, 1, files=("config.yaml", "published.csv"))
    page = Page(html(TITLE, [good, Outcome("bad", seconds=0.5, error="KeyError: <x>")]))
    assert page.open == [] and {"summary", "fails", "bad"} <= set(page.ids)
    for text in (
        "! 1 / 1.50",
        "Printed <wrong>",
        "p\u00a0=\u00a04 & more",
        "failed: KeyError: <x>",
        str(tally(found)),
        total([good]),
    ):
        assert text in page.text
    files = {link for link in page.links if not link.startswith("#")}
    assert files == {"fails/config.yaml", "fails/published.csv"}
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_the_summary_names_each_table_with_its_command():
    good = Outcome("fails", "Printed | wrong", tuple(Fails().cells({})), 1.25, 1)
    told = markdown([good, Outcome("bad", seconds=0.5, error="KeyError: x")]).splitlines()
    assert told[2] == "| Printed \\| wrong | `invbench +experiment=fails` | 1 of 2 | – | 0.5 | 1.2 |"
    assert told[3] == "| bad | `invbench +experiment=bad` | failed |  |  | 0.5 |"
    assert told[5] == "- bad failed: KeyError: x"
    assert told[-1] == "1 of 2 agree, largest deviation 0.5 (fails: p = 4 & more, Optimal); 1 of 2 tables could not be computed"


def told_of(folder, *arguments):
    done = invbench(folder, *arguments)
    return done.returncode, Path(done.stdout.rstrip("\n").splitlines()[-1]), done.stdout


def test_the_command_of_a_table_ends_with_its_folder_and_runs_again(tmp_path):
    arguments = f"+experiment={ZHENG}", "study.means=[10,15]"
    code, folder, first = told_of(tmp_path, *arguments)
    assert code == 0 and folder.parent == tmp_path / "outputs" / "runs"
    (folder / "published.csv").write_text("")
    (folder / "stray.txt").write_text("")
    assert told_of(tmp_path, *arguments) == (0, folder, first)
    assert len((folder / "published.csv").read_text().splitlines()) == 7 and not (folder / "stray.txt").exists()


def test_the_command_exits_with_the_code_of_its_study(tmp_path):
    code, folder, _ = told_of(tmp_path, "+experiment=all_tables", f"study.tables=[{ZHENG},reference]")
    assert code == 1 and json.loads((folder / "study.json").read_text()) == {"exit_code": 1}
    assert (folder / ZHENG / "published.csv").exists() and (folder / "index.html").exists()
    alone = yaml.safe_load((folder / ZHENG / "config.yaml").read_text())
    assert alone["names"] == yaml.safe_load((folder / "config.yaml").read_text())["names"] | {"experiment": ZHENG}
