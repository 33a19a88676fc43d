"""The report in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphmem.base.counts import counted
from graphmem.evaluation.reports.wording import (
    corrected_p,
    costs,
    environment_text,
    problems,
    shown_measures,
    significance,
    summary_text,
)
from graphmem.evaluation.runs.environment import Environment
from graphmem.evaluation.runs.recorded import ExperimentRecord, read_record
from graphmem.evaluation.scores.sheets import (
    KINDS,
    DatasetScores,
    ExperimentScores,
    VariantScores,
)


def markdown_report(out: Path) -> str:
    """The whole report of a results folder in Markdown."""
    scores = read_record(out / "scores.json", ExperimentScores)
    experiment = read_record(out / "experiment.json", ExperimentRecord)
    parts = [f"# {_plain(scores.experiment)}", _plain(summary_text(experiment))]
    if len(scores.datasets) > 1 and scores.average:
        parts += ["## Average over the data sets", markdown_table(scores)]
    for name, entry in scores.datasets.items():
        facts = f"{counted(entry.passages, 'passage')}, {counted(entry.questions, 'question')}"
        parts += [f"## {_plain(name)}", facts, markdown_table(scores, name)]
        parts += _group_tables(entry, scores.k)
        parts += [f"* {_plain(line)}" for line in problems(entry)]
    parts += ["## Where", environment_text(read_record(out / "environment.json", Environment))]
    return "\n\n".join(parts) + "\n"


def markdown_table(scores: ExperimentScores, dataset: str = "") -> str:
    """The variants of one data set, or their average over all, as a Markdown table.

    Args:
        scores: As in scores.json.
        dataset: Its name, "" for the average.
    """
    sheets = scores.datasets[dataset].variants if dataset else {}
    variants: Mapping[str, VariantScores] = sheets if dataset else scores.average
    first = next(iter(variants.values()))
    measures = shown_measures(scores.k, first.measures)
    header = ["", *measures]
    if dataset:
        header += ["ms", "index s", "tokens"]
    p = corrected_p(variants, measures)
    rows = [
        [_plain(name), *(_cell(entry, m, p.get((name, m))) for m in measures)]
        + (costs(sheets[name]) if dataset else [])
        for name, entry in variants.items()
    ]
    return _table(header, rows)


def _group_tables(entry: DatasetScores, cutoffs: Sequence[int]) -> list[str]:
    parts = []
    near = min(cutoffs, key=lambda k: (abs(k - 5), k))
    for title in KINDS:
        found = {name: variant.groups(title) for name, variant in entry.variants.items()}
        groups = {
            group: int(values["questions"])
            for by_group in found.values()
            for group, values in by_group.items()
        }
        if len(groups) < 2:
            continue
        header = [f"recall@{near} by {title}"]
        header += [f"{_plain(group) or '–'} ({count})" for group, count in groups.items()]
        rows = [
            [_plain(name)] + [f"{100 * by_group[group][f'recall@{near}']:.1f}" for group in groups]
            for name, by_group in found.items()
        ]
        parts.append(_table(header, rows))
    return parts


def _cell(entry: VariantScores, measure: str, p: float | None) -> str:
    if measure not in entry.measures:
        return "–"
    value = entry.measures[measure]
    low, high = 100 * value.low, 100 * value.high
    mark = significance(entry, measure, p)
    return f"{100 * value.mean:.1f}{mark} ({low:.1f}–{high:.1f})"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _plain(text: Any) -> str:
    """Text that cannot leave its cell or be taken for HTML."""
    line = " ".join(str(text).split())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
