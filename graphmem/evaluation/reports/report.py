"""What people read of an experiment: Markdown tables, and the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphmem.evaluation.datasets.dataset import write_text
from graphmem.evaluation.runs.recorded import read_json
from graphmem.evaluation.scores.bootstrap import holm

_SIGNIFICANT = 0.05


def write_reports(out: Path) -> None:
    """Write report.md and report.html of a results folder that is scored.

    Raises:
        DataError: The folder is not complete.
        MissingExtraError: Jinja2, which the page is made with, is not installed.
        StorageError: The folder cannot be written.
    """
    from graphmem.evaluation.reports.page import render_page

    write_text(out / "report.md", markdown_report(out))
    write_text(out / "report.html", render_page(out))


def markdown_report(out: Path) -> str:
    """The whole report of a results folder in Markdown."""
    scores, experiment = read_json(out / "scores.json"), read_json(out / "experiment.json")
    parts = [f"# {_plain(scores['experiment'])}", summary_text(experiment)]
    if len(scores["datasets"]) > 1 and scores["average"]:
        parts += ["## Average over the data sets", markdown_table(scores)]
    for name, entry in scores["datasets"].items():
        facts = f"{entry['passages']:,} passages, {entry['questions']:,} questions"
        parts += [f"## {_plain(name)}", facts, markdown_table(scores, name)]
        parts += _group_tables(entry, scores["k"])
        parts += [f"* {line}" for line in problems(entry)]
    parts += ["## Where", environment_text(read_json(out / "environment.json"))]
    return "\n\n".join(parts) + "\n"


def summary_text(experiment: Mapping[str, Any]) -> str:
    """What was done, in a few sentences."""
    seeds = ", ".join(map(str, experiment["seeds"]))
    text = (
        f"Percent, with 95 % intervals (percentile bootstrap over questions). The passages of "
        f"every data set were shuffled before indexing (seed {seeds}). A question that failed or "
        f"is missing from a run counts 0."
    )
    if experiment["latency"]:
        text += (
            " Milliseconds are of one question at a time, median over up to "
            f"{experiment['latency']} questions."
        )
    if chat := experiment.get("chat"):
        text += (
            f" Variants with a method are led by {_plain(chat['model'])} and not timed; tokens and "
            "cost are what they take, whether it was paid now or answered from the cache."
        )
    if experiment["baseline"]:
        text += (
            f" ▲ and ▼: better and worse than {_plain(experiment['baseline'])} "
            f"with p < {_SIGNIFICANT} (paired bootstrap, two-sided, corrected by Holm's method for "
            "all comparisons of a table)."
        )
    return text


def shown_measures(cutoffs: Sequence[int], available: Iterable[str]) -> list[str]:
    """The measures that tables show: recall at every k, all gold at about 5, MRR, answers.

    >>> shown_measures([2, 5], ["recall@2", "recall@5", "all_gold@5", "precision@5", "mrr"])
    ['recall@2', 'recall@5', 'all_gold@5', 'mrr']
    """
    near = min(cutoffs, key=lambda k: (abs(k - 5), k))
    ten = min(cutoffs, key=lambda k: (abs(k - 10), k))
    wanted = [f"recall@{k}" for k in cutoffs]
    wanted += [f"all_gold@{near}", f"ndcg@{ten}", "mrr", "exact_match", "f1", "judged"]
    return [name for name in wanted if name in set(available)]


def markdown_table(scores: Mapping[str, Any], dataset: str = "") -> str:
    """The variants of one data set, or their average over all, as a Markdown table.

    Args:
        scores: As in scores.json.
        dataset: Its name, "" for the average.
    """
    variants = scores["datasets"][dataset]["variants"] if dataset else scores["average"]
    first = next(iter(variants.values()))
    measures = shown_measures(scores["k"], first["measures"])
    header = ["", *measures]
    if dataset:
        header += ["ms", "index s", "tokens"]
    p = corrected_p(variants, measures)
    rows = [
        [_plain(name), *(_cell(entry, m, p.get((name, m))) for m in measures)]
        + (costs(entry) if dataset else [])
        for name, entry in variants.items()
    ]
    return _table(header, rows)


def corrected_p(
    variants: Mapping[str, Mapping[str, Any]], measures: Sequence[str]
) -> dict[tuple[str, str], float]:
    """p-value of each variant's lead in each measure, corrected for all of a table (Holm).

    Args:
        variants: The rows of the table.
        measures: Its columns.

    Returns:
        By variant and measure; nothing for the baseline itself.
    """
    leads = {
        (name, measure): entry["against_baseline"][measure]["p"]
        for name, entry in variants.items()
        for measure in measures
        if measure in entry.get("against_baseline", {})
    }
    return dict(zip(leads, holm(list(leads.values())), strict=True))


def significance(entry: Mapping[str, Any], measure: str, p: float | None) -> str:
    """▲ or ▼ where a variant differs from the baseline beyond chance, else "".

    Args:
        entry: The variant.
        measure: The measure.
        p: Its corrected p-value, None where there is nothing to compare.
    """
    if p is None or p >= _SIGNIFICANT:
        return ""
    return "▲" if entry["against_baseline"][measure]["difference"] > 0 else "▼"


def costs(entry: Mapping[str, Any]) -> list[str]:
    """Milliseconds, index seconds and tokens of a variant on one data set, as text.

    Beside the tokens stand calls and cost where there are any.
    """
    latency, index, tokens = entry["latency"], entry["index"], entry["tokens"]
    milliseconds = f"{latency['median_ms']:.1f}" if latency["questions"] else "–"
    seconds = f"{sum(index['seconds'].values()):.0f}" + ("" if index["whole"] else "+")
    used = [f"{tokens['prompt'] + tokens['completion']:,}"]
    used += [f"{entry['calls']:,} calls"] if entry.get("calls") else []
    used += [f"cost {entry['cost']:.4g}"] if entry["cost"] else []
    return [milliseconds, seconds, ", ".join(used)]


def problems(entry: Mapping[str, Any]) -> list[str]:
    """One line for every variant of a data set of which a question failed or is missing."""
    lines = []
    for name, variant in entry["variants"].items():
        failed, missing = variant["failed"], set(variant["missing"]) - set(variant["failed"])
        if failed:
            reason = next(iter(failed.values()))
            lines.append(f"{name}: {len(failed)} questions failed and count 0 ({reason})")
        if missing:
            ids = ", ".join(sorted(missing)[:5])
            lines.append(f"{name}: {len(missing)} questions are not in the run, count 0: {ids}")
    return [_plain(line) for line in lines]


def environment_text(environment: Mapping[str, Any]) -> str:
    """Versions and machine in one paragraph."""
    packages = ", ".join(f"{name} {number}" for name, number in environment["packages"].items())
    commit = environment["git_commit"]
    at = f" at commit {commit[:12]}{'+changes' if '+' in commit else ''}" if commit else ""
    return (
        f"{packages}{at}; Python {environment['python']}; {environment['cpu']}, "
        f"{environment['cores_available']} cores; {environment['system']}"
    )


def _group_tables(entry: Mapping[str, Any], cutoffs: Sequence[int]) -> list[str]:
    parts = []
    near = min(cutoffs, key=lambda k: (abs(k - 5), k))
    for field, title in (("by_hops", "hops"), ("by_type", "type")):
        variants = entry["variants"]
        groups: dict[str, int] = {
            group: int(values["questions"])
            for variant in variants.values()
            for group, values in variant[field].items()
        }
        if len(groups) < 2:
            continue
        header = [f"recall@{near} by {title}"]
        header += [f"{_plain(group) or '–'} ({count})" for group, count in groups.items()]
        rows = [
            [_plain(name)]
            + [f"{100 * variant[field][group][f'recall@{near}']:.1f}" for group in groups]
            for name, variant in variants.items()
        ]
        parts.append(_table(header, rows))
    return parts


def _cell(entry: Mapping[str, Any], measure: str, p: float | None) -> str:
    if measure not in entry["measures"]:
        return "–"
    value = entry["measures"][measure]
    low, high = 100 * value["low"], 100 * value["high"]
    mark = significance(entry, measure, p)
    return f"{100 * value['mean']:.1f}{mark} ({low:.1f}–{high:.1f})"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _plain(text: Any) -> str:
    """Text that cannot leave its cell or be taken for HTML."""
    line = " ".join(str(text).split())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
