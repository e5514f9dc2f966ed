"""The reference system's two printed tables beside ours: the same demand, prices and initial stock, with closed books."""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from invbench import jobs, published, run
from invbench.costs import Money
from invbench.evaluation import breakeven, report
from invbench.keys import root

NOTE = """\
Why the two differ. In the reference, revenue was replayed against a state that stayed as it was on the first day (stock 100,
nothing on order), so decisions had no consequences; orders of methods without a lead time of their own were never delivered;
purchase was never charged; and the lead time belonged to the method, not to the problem. Here stock moves, orders arrive after
the same lead time for every method, every unit ordered is paid for, and each method faces the same {paths} futures, so that each
figure has an interval. A method that earns nothing in the reference because its orders never arrive is an ordinary method here.
LSTM and DQN stand in the reference's tables alone until the learned methods are part of this benchmark.
"""
WIDTH = 160  # columns of a table that no terminal limits
COLUMNS = (
    "method category published_net_benefit net_benefit net_benefit_lower net_benefit_upper published_service_level fill_rate"
    " no_stockout published_operational_cost operational_cost revenue purchase holding shortage ordering implementation training"
    " inference maintenance published_total_cost total_cost published_roi_percent roi_percent source"
).split()


@dataclass(frozen=True)
class Reference:
    """Judges `methods` (name: config) on the setting of the config, and lays both tables side by side."""

    methods: dict[str, Any]

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write published.csv, table.md and note.txt into the folder and print them; always exit code 0."""
        setting = run.setting(config)
        rows = [_row(name, method, setting, config) for name, method in self.methods.items()]
        rows += [_printed(row) for row in published.read("reference_readme") if row["method"] not in self.methods]
        with open(folder / "published.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        note = NOTE.format(paths=setting.evaluation.demand.shape[1])
        jobs.write(folder / "table.md", _markdown(rows) + "\n" + note)
        console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
        for title, columns in TABLES.items():
            console.print(_table(title, columns, rows))
        console.print(note, soft_wrap=True)
        return 0


TABLES = {
    "Net Benefit Analysis": {
        "category": "",
        "published_net_benefit": "printed",
        "net_benefit": "ours",
        "interval": "95 % interval",
        "published_roi_percent": "ROI % printed",
        "roi_percent": "ours",
        "published_service_level": "service printed",
        "fill_rate": "fill rate",
        "no_stockout": "no stock-out",
    },
    "Cost Breakdown": {
        "published_operational_cost": "operations printed",
        "operational_cost": "ours",
        "purchase": "purchase",
        "holding": "holding",
        "shortage": "shortage",
        "ordering": "ordering",
        "implementation": "impl.",
        "maintenance": "maint.",
        "published_total_cost": "total printed",
        "total_cost": "ours",
    },
}


def _row(name: str, method: Any, setting: run.Setting, config: dict[str, Any]) -> dict[str, Any]:
    """Ours, with what is printed for the method, if anything."""
    key = root(config["seed"], "method", name)
    policy, setting, _ = run.fit(method, setting, key, lambda metrics, step: None)
    costs = setting.economics.of(method.family)
    judged = report.evaluate(setting.problem, policy, setting.evaluation, key)
    figures = report.figures(judged, costs, config["evaluation"]["risk_aversion"], config["evaluation"]["target_fill_rate"])
    periods, net = judged.horizon, figures["net_benefit"]
    operational = sum(figures[part]["mean"] for part in ("purchase", "holding", "shortage", "ordering"))
    total = operational + costs.total(periods)
    printed = next((row for row in published.read("reference_readme") if row["method"] == name), {})
    return _printed(printed) | {
        "method": name,
        "category": printed.get("category", method.family),
        "net_benefit": round(net["mean"], 2),
        "net_benefit_lower": round(net["lower"], 2),
        "net_benefit_upper": round(net["upper"], 2),
        "fill_rate": round(figures["fill_rate"]["mean"], 4),
        "no_stockout": round(figures["no_stockout"]["mean"], 4),
        "operational_cost": round(operational, 2),
        **{part: round(figures[part]["mean"], 2) for part in Money._fields if part in COLUMNS},
        "implementation": costs.implementation,
        "training": costs.training,
        "inference": round(costs.inference * periods, 2),
        "maintenance": round(costs.maintenance * periods, 2),
        "total_cost": round(total, 2),
        "roi_percent": round(100 * (breakeven.roi_reference(net["mean"], total) or 0), 1),
    }


def _printed(row: dict[str, str]) -> dict[str, Any]:
    """The printed figures of a method, under our column names."""
    blank: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    names = {"net_benefit": "net_benefit", "service_level": "service_level", "operational_cost": "operational_cost"}
    names |= {"total_cost": "total_cost", "roi_percent": "roi_percent"}
    found = {f"published_{ours}": float(row[theirs]) for theirs, ours in names.items() if row}
    return blank | found | {name: row.get(name, "") for name in ("method", "category", "source")}


def _cell(row: dict[str, Any], column: str) -> str:
    if column == "interval":
        bounds = [row["net_benefit_lower"], row["net_benefit_upper"]]
        return " … ".join(_text(bound) for bound in bounds) if "" not in bounds else ""
    return _text(row[column])


def _text(value: Any) -> str:
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.2f}" if abs(value) >= 1.5 else f"{value:.4f}"


def _table(title: str, columns: dict[str, str], rows: list[dict[str, Any]]) -> Table:
    table = Table("method", *columns.values(), title=title, title_justify="left")
    for row in rows:
        table.add_row(row["method"], *(_cell(row, column) for column in columns))
    return table


def _markdown(rows: list[dict[str, Any]]) -> str:
    parts = []
    for title, columns in TABLES.items():
        lines = ["| method | " + " | ".join(columns.values()) + " |", "|---" * (len(columns) + 1) + "|"]
        lines += [f"| {row['method']} | " + " | ".join(_cell(row, column) for column in columns) + " |" for row in rows]
        parts.append(f"### {title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)
