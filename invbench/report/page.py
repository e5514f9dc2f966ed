"""The comparison as one HTML file that needs nothing else: summary, a section per scenario with table and figures, settings."""

import base64
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from invbench.report import figures, maps
from invbench.report.tables import COLUMNS, SUMMARY, Comparison, Result, ScenarioResults, percent

CAPTIONS = {  # figure -> title, how to read it
    "difference": (
        "Who beats the baseline",
        "Mean difference to the baseline, path by path, with its 95\u00a0% interval. Hollow: may be chance (p is 0.05 or more).",
    ),
    "network_map": (
        "The network on one path",
        "Squares: sites, with the share of what they can send that is asked of them. Lines: who is served from where, "
        "the wider the more. Grey dots: customers, the larger the more demand.",
    ),
    "site_stock": (
        "Stock of the sites on one path",
        "Units on hand at the end of each period.",
    ),
    "risk": (
        "Benefit against risk",
        "Higher is more benefit, further left is less risk. Bars: 95\u00a0% intervals. Dashed: the bound, out of reach.",
    ),
    "costs": (
        "Where the money goes",
        "Left: what ordering decides. Right: purchase, and the method itself, training to maintenance. Scales differ.",
    ),
    "distribution": (
        "Spread over paths",
        "Net benefit of operations per path (or series, see the note), 1st to 99th percentile. Bar: middle half, dot: median.",
    ),
    "trajectory": (
        "Stock on one path",
        "Stock at the end of each period, and what was ordered in it. Red, below zero: demand that stock could not meet at once.",
    ),
    "break_even": (
        "When a method pays for itself",
        "Gain over the baseline less the costs of the methods, which are assumptions. Dot: where they are level. "
        "Items that share a method get there sooner.",
    ),
    "learning": (
        "How the learners learned",
        "Mean net benefit of operations on validation paths while training, less that of a tuned classical rule on the same paths "
        "(hdpo: as if orders were free, before a gap and a lot are tuned around what it learned).",
    ),
}
CHOICES = {"trajectory": figures.chosen, "network_map": maps.chosen, "site_stock": maps.chosen}  # one method at a time is shown
STATES = ("baseline", "failed", "missing")  # what a cell says in words
HELP = {
    "net_benefit": "revenue + salvage - costs of operations - costs of the method itself",
    "operating_benefit": "net benefit before the costs of the method itself",
    "difference": "paired difference of operating benefit to the baseline, path by path",
    "p_holm": "p value of the difference, corrected for the number of methods",
    "win_rate": "share of paths on which the method beats the baseline",
    "std": "standard deviation of operating benefit over paths",
    "cvar": "mean of the worst 5 % of paths; withheld where paths are too few",
    "fill_rate": "share of demanded units that stock met at once",
    "average_cost": "mean cost of operations per period",
    "gap_to_clairvoyant": "distance to the bound that knows all demand in advance, as a share of it",
    "closed": "share of the way from the baseline to the bound that the difference goes",
    "break_even_items": "items that must share the method's costs for it to pay within the horizon; – if it never does",
    "break_even": "periods until the method has paid for itself, against the baseline; – if it never does",
    "risk_adjusted": "mean - lambda x standard deviation",
    "turnover": "units sold per unit of average stock",
    "ready_rate": "share of periods that end with stock on hand",
    "cycle_service": "share of order cycles without a stock-out",
    "no_stockout": "share of periods without a stock-out",
}
READING = (
    "Money is in the units of the cost model, summed over the horizon. Differences are paired: all methods face the same paths; "
    "in % they are of the baseline's operating cost (of its benefit, where it costs nothing). Brackets are 95\u00a0% intervals. "
    "* p &lt; 0.05 after Holm's correction. Methods stand in the order of operating benefit; a heading sorts by its column."
)
ICON = base64.b64encode(
    b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><path fill='#0072B2' d='M1 9h4v6H1z'/>"
    b"<path fill='#E69F00' d='M6 5h4v10H6z'/><path fill='#009E73' d='M11 1h4v14h-4z'/></svg>"
).decode()
STYLE = """
:root { --page: #f5f6f8; --card: #fff; --ink: #1f2328; --faint: #5a6370; --line: #dfe3e8; --better: #1273c4; --worse: #d4631c;
  --alarm: #b3261e; --font: system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; --edge: 20px }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1317; --card: #171c22; --ink: #e6e9ed; --faint: #9ca6b2; --line: #2d353e; --alarm: #ff8a80 } }
* { box-sizing: border-box }
html { scroll-behavior: smooth; scroll-padding-top: 4.2rem; -webkit-text-size-adjust: 100% }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 var(--font) }
main, header, nav div { max-width: 1280px; margin: auto; padding: 0 var(--edge) }
header { padding-top: 22px }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .3rem; overflow-wrap: anywhere }
p { margin: .3rem 0 .8rem; max-width: 80ch }
.faint, small, figcaption, dt { color: var(--faint) }
nav { position: sticky; top: 0; z-index: 3; background: var(--page); border-bottom: 1px solid var(--line) }
nav div { padding-block: 8px; display: flex; gap: 6px; overflow-x: auto; scrollbar-width: thin }
nav a { white-space: nowrap; color: inherit; text-decoration: none; padding: 4px 10px; background: var(--card);
  border: 1px solid var(--line); border-radius: 99px }
nav a, small, figcaption, summary, dt { font-size: 13px }
.scroll, figure, pre { background: var(--card); border: 1px solid var(--line); border-radius: 10px }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums }
th, td { padding: 6px 10px; text-align: right; border-top: 1px solid var(--line); white-space: nowrap; vertical-align: top }
thead th { border-top: 0; vertical-align: bottom; white-space: normal }
th:first-child { text-align: left; position: sticky; left: 0; z-index: 1; background: var(--card);
  border-right: 1px solid var(--line) }
tbody th { font-weight: 500; min-width: min(13rem, 30vw); max-width: 18rem; white-space: normal }
td small { display: block; line-height: 1.3 }
th a { color: inherit } th button { all: unset; cursor: pointer }
:is(a, button, summary):focus-visible { outline: 2px solid var(--better); outline-offset: 2px }
th[aria-sort=descending] button::after { content: " ▾" }
th[aria-sort=ascending] button::after { content: " ▴" }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .5em }
.badge { border: 1px solid; border-radius: 99px; padding: 0 .5em; font-size: 11px }
td.better { background: color-mix(in srgb, var(--better) var(--strength), transparent) }
td.worse { background: color-mix(in srgb, var(--worse) var(--strength), transparent) }
td.baseline { color: var(--faint) } .failed, .missing { color: var(--alarm) }
table:not(.heat) :is(td.failed, td.missing) { text-align: left; white-space: normal }
.heat td { text-align: center; vertical-align: middle; padding: 7px 6px } .heat tbody th { min-width: min(9.5rem, 30vw) }
.heat thead th + th { text-align: center; min-width: 4.6rem; max-width: 8rem; padding: 6px 4px; font-size: 11.5px;
  line-height: 1.25 }
tr.bound { font-style: italic } .scroll { overflow-x: auto }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 370px), 1fr)); gap: 14px; margin-top: 14px }
figure { margin: 0; padding: 10px 12px 12px; min-width: 0 } figcaption { line-height: 1.4 }
h3 { font-size: 15px; margin: 0 0 6px; white-space: nowrap; display: flex; justify-content: space-between; gap: 8px }
select { min-width: 0; max-width: 56%; font: 13px var(--font) }
figure svg { display: block; width: 100%; height: auto; margin-bottom: 8px; background: #fff; border-radius: 6px;
  stroke-linejoin: round }
svg text { font-family: var(--font) !important }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 280px), 1fr)); gap: 8px 24px; margin: .8rem 0 }
dd { margin: 0 } dd, pre, td.failed { overflow-wrap: anywhere }
pre { white-space: pre-wrap; padding: 10px 12px; margin: .5rem 0 }
summary { cursor: pointer; padding-top: 10px } footer { padding: 2rem 0 3rem }
@media (max-width: 600px) {
  :root { --edge: 8px }
  th, td { padding: 6px 8px }
  tbody th { min-width: 7.5rem; max-width: 9.5rem }
  figure { padding: 6px }
  h1 { font-size: 1.35rem } }
@media print { nav { display: none } figure { break-inside: avoid } }
"""
SCRIPT = """
for (const head of document.querySelectorAll("th button")) head.addEventListener("click", () => {
  const cell = head.parentElement, table = cell.closest("table"), body = table.tBodies[0], column = cell.cellIndex;
  const now = cell.getAttribute("aria-sort"), up = column ? now === "descending" : now !== "ascending";
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  cell.setAttribute("aria-sort", up ? "ascending" : "descending");
  const key = row => row.cells[column] && row.cells[column].dataset.value, none = row => [undefined, ""].includes(key(row));
  const order = (one, two) => (up ? 1 : -1) * (column ? key(one) - key(two) : key(one).localeCompare(key(two)));
  body.append(...[...body.rows].sort((one, two) => none(one) || none(two) ? none(one) - none(two) : order(one, two)));
});
for (const select of document.querySelectorAll("figure select")) select.addEventListener("change", () => {
  for (const part of select.closest("figure").querySelectorAll("[data-choice]"))
    part.style.display = part.dataset.choice === select.value ? "" : "none";
});
"""


def write_page(comparison: Comparison, folder: Path, opening: str = "") -> Path:
    """Write folder/index.html, which asks for nothing from elsewhere; returns its path. Equal comparisons give equal bytes.

    opening: HTML that comes before everything else.
    """
    palette = figures.colours([result.method for scenario in comparison.scenarios for result in scenario.results])
    sections = [_section(place, scenario, palette) for place, scenario in enumerate(comparison.scenarios)]
    page = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{escape(comparison.title)}</title>
<link rel="icon" href="data:image/svg+xml;base64,{ICON}"><style>{STYLE}</style></head>
<body><header><h1>{_text(comparison.title)}</h1><p class="faint">{_extent(comparison)}</p></header>
{_navigation(comparison)}<main>{opening}{_summary(comparison, palette) if len(comparison.scenarios) > 1 else ""}{_reading()}
{"".join(sections)}{_settings(comparison)}</main><script>{SCRIPT}</script></body></html>
"""
    Path(folder).mkdir(parents=True, exist_ok=True)
    (path := Path(folder) / "index.html").write_text(page, "utf-8", newline="\n")
    return path


def _navigation(comparison: Comparison) -> str:
    links = [("summary", "Summary")] if len(comparison.scenarios) > 1 else []
    links += [(f"scenario-{place}", scenario.scenario) for place, scenario in enumerate(comparison.scenarios)]
    anchors = (f'<a href="#{target}">{escape(title)}</a>' for target, title in [*links, ("settings", "Settings")])
    return f'<nav aria-label="Sections"><div>{"".join(anchors)}</div></nav>'


def _reading() -> str:
    pairs = _pairs((COLUMNS[key].title, meaning) for key, meaning in HELP.items())
    return f"<details><summary>How to read this page</summary><p>{READING}</p>{pairs}</details>"


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in pairs) + "</dl>"


def _text(text: str) -> str:
    """Escaped; long names may break after an underscore."""
    return escape(text).replace("_", "_<wbr>")


def _extent(comparison: Comparison) -> str:
    failed = sum(len(scenario.undone) for scenario in comparison.scenarios)
    counts = f"{len(comparison.methods())} methods, {len(comparison.scenarios)} scenario" + "s" * (len(comparison.scenarios) > 1)
    return counts + f'. <span class="failed">Runs without a result: {failed}.</span>' * (failed > 0)


def _name(method: str, palette: dict[str, str], label: str = "", bound: bool = False, badge: str = "") -> str:
    dot = f'<span class="dot" style="background:{figures.FAINT if bound else palette[method]}"></span>'
    remark = f" <small>{_text(label)}</small>" if label else ""
    return dot + _text(method) + remark + (f' <span class="badge">{badge}</span>' if badge else "")


def _summary(comparison: Comparison, palette: dict[str, str]) -> str:
    """The heat table methods x scenarios."""
    titles = [f'<th scope="col"><a href="#scenario-{n}">{_text(s.scenario)}</a></th>' for n, s in enumerate(comparison.scenarios)]
    shares = [abs(s.relative(r) or 0) for s in comparison.scenarios for r in s.done if not r.bound]
    scale = sorted(shares)[int(0.8 * (len(shares) - 1))] if shares else 0.0
    rows = []
    for method in comparison.methods():
        pairs = comparison.of(method)
        bound = any(result is not None and result.bound for _, result in pairs)
        kinds = [scenario.kind(result) for scenario, result in pairs if result is not None and result.significant]
        score = f"<td>{kinds.count('better')} / {kinds.count('worse')}</td>" if not bound else "<td>–</td>"
        cells = "".join(_heat(scenario, result, scale or 1.0) for scenario, result in pairs)
        rows.append(f'<tr{bound * " class=bound"}><th scope="row">{_name(method, palette, bound=bound)}</th>{score}{cells}</tr>')
    return f"""<h2 id="summary">Who wins where</h2><p>{escape(SUMMARY)} The baseline is each scenario's own.</p>
<div class="scroll" tabindex="0" role="region" aria-label="Summary"><table class="heat"><thead><tr><th scope="col">method</th>
<th scope="col">scenarios better* / worse*</th>{"".join(titles)}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>"""


def _heat(scenario: ScenarioResults, result: Result | None, scale: float) -> str:
    kind = scenario.kind(result)
    value = scenario.relative(result) if result is not None and result.done else None
    if value is None:
        return f'<td class="{kind}" title="{escape(result.error) if result else ""}">{kind if kind in STATES else "–"}</td>'
    strength = (8 + 47 * min(1.0, abs(value) / scale) ** 0.5) * (1 if result.significant else 0.35)
    column = COLUMNS["difference"]
    hint = f"{column.text(result)} {column.span(result)}, p {COLUMNS['p_holm'].text(result)}"
    text = f"<b>{percent(value)}*</b>" if result.significant else percent(value)
    return f'<td class="{kind}" style="--strength:{strength:.0f}%" title="{escape(hint)}">{_minus(text)}</td>'


def _minus(text: str) -> str:
    return re.sub(r"-(?=[\d.])", "−", text)


def _section(place: int, scenario: ScenarioResults, palette: dict[str, str]) -> str:
    drawn = "".join(_figure(name, svg, scenario) for name, svg in figures.all(scenario, palette).items())
    return f"""<section><h2 id="scenario-{place}">{_text(scenario.scenario)}</h2><p>{_verdict(scenario)}</p>
<p class="faint">{_text(scenario.note)}</p>{_table(scenario, palette)}<div class="grid">{drawn}</div></section>
"""


def _verdict(scenario: ScenarioResults) -> str:
    """Who leads and by how much, before the costs of the methods themselves and after them."""
    rivals = [result for result in scenario.done if not result.bound]
    if not rivals:
        return "No method has a result."
    best, richest = rivals[0], max(rivals, key=_net_benefit)
    lead = f"<b>{_text(best.name)}</b> leads"
    if scenario.kind(best) == "baseline":
        lead = f"no method earns more than the baseline <b>{_text(best.name)}</b>"
    elif scenario.relative(best) is not None:
        by = f"{COLUMNS['difference'].text(best).rstrip(' *')}, {percent(scenario.relative(best))}\u00a0% of the operating cost"
        sure = "" if best.significant else ", which may be chance"
        lead += f" the baseline <b>{_text(scenario.baseline)}</b> by {_minus(by)}{sure}"
    after = f"<b>{_text(richest.name)}</b> leads" if richest is not best else "this is still so"
    return f"Before the costs of the methods themselves, {lead}. After them {after}."


def _net_benefit(result: Result) -> float:
    value = result.number("net_benefit")
    return float("-inf") if value is None else value


def _table(scenario: ScenarioResults, palette: dict[str, str]) -> str:
    columns = [column for column in COLUMNS.values() if any(result.number(column.key) is not None for result in scenario.done)]
    heads = "".join(f'<th scope="col" title="{escape(HELP[c.key])}"><button type="button">{c.title}</button>' for c in columns)
    rows = [_row(scenario, result, columns, palette) for result in scenario.done]
    for result in scenario.undone:
        reason = f"{result.status}: {_text(result.error or 'no result')}"
        name = _name(result.method, palette, result.label, result.bound)
        cell = f'<td class="{result.status}" colspan="{len(columns) or 1}">{reason}</td>'
        rows.append(f'<tr><th scope="row">{name}</th>{cell}</tr>')
    return f"""<div class="scroll" tabindex="0" role="region" aria-label="Results for {escape(scenario.scenario)}"><table><thead>
<tr><th scope="col"><button type="button">method</button></th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>"""


def _row(scenario: ScenarioResults, result: Result, columns: list, palette: dict[str, str]) -> str:
    kind = scenario.kind(result)
    name = _name(result.method, palette, result.label, result.bound, "baseline" * (kind == "baseline"))
    cells = [f'<th scope="row" data-value="{escape(result.name)}">{name}</th>']
    for column in columns:
        value, span = result.number(column.key), column.span(result)
        key = "" if value is None else f"{value:.9g}".replace("inf", "Infinity")
        shade = f' class="{kind}" style="--strength:{25 if result.significant else 6}%"' if column.key == "difference" else ""
        span = f"<small>{_minus(span)}</small>" if span else ""
        cells.append(f'<td{shade} data-value="{key}">{_minus(column.text(result))}{span}</td>')
    return f"<tr{' class=bound' * result.bound}>{''.join(cells)}</tr>"


def _figure(name: str, svg: str, scenario: ScenarioResults) -> str:
    title, caption = CAPTIONS[name]
    start = svg.index("<svg")
    head = re.sub(r' (width|height|xmlns|xmlns:xlink|version)="[^"]*"', "", svg[start : svg.index(">", start)])
    head += f' role="img" aria-label="{escape(title)}: {escape(scenario.scenario)}"'
    choice = ""
    if name in CHOICES:
        names = enumerate(escape(result.name) for result in CHOICES[name](scenario))
        options = "".join(f'<option value="{place}">{label}</option>' for place, label in names)
        choice = f'<select aria-label="Method of the path" autocomplete="off">{options}</select>'
    drawing = head + svg[svg.index(">", start) :]
    return f"<figure><h3>{title}{choice}</h3>{drawing}<figcaption>{caption}</figcaption></figure>"


def _settings(comparison: Comparison) -> str:
    return f"""<section><h2 id="settings">Settings</h2><p>The command that made this page:</p>
<pre><code>{escape(comparison.command)}</code></pre>{_pairs(comparison.settings.items())}</section>
<footer class="faint">{_text(comparison.repository_note)}</footer>"""
