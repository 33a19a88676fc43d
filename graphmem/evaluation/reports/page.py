"""The report as one HTML page that needs nothing else: tables, charts, wins and losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from graphmem.errors import MissingExtraError
from graphmem.evaluation.datasets.dataset import JudgedQuestion
from graphmem.evaluation.reports.explaining import (
    differing_questions,
    main_measure,
    wins_and_losses,
)
from graphmem.evaluation.reports.wording import (
    corrected_p,
    costs,
    environment_text,
    problems,
    shown_measures,
    significance,
    summary_text,
)
from graphmem.evaluation.runs.context import run_folder
from graphmem.evaluation.runs.environment import Environment
from graphmem.evaluation.runs.recorded import (
    ExperimentRecord,
    read_json,
    read_record,
    read_records,
)
from graphmem.evaluation.scores.sheets import (
    KINDS,
    DatasetScores,
    ExperimentScores,
    VariantScores,
    VariantSheet,
)

_HITS = 5


def render_page(out: Path) -> str:
    """The page of a results folder that is scored.

    Raises:
        DataError: The folder is not complete.
        MissingExtraError: Jinja2 is not installed.
    """
    jinja2 = require_templates()
    source = files("graphmem.evaluation.reports").joinpath("page.html.j2").read_text("utf-8")
    engine = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    html: str = engine.from_string(source).render(page_values(out))
    return html


def require_templates() -> Any:
    """The Jinja2 library.

    Raises:
        MissingExtraError: It is not installed; says what to install.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError(
            "the report needs the library Jinja2: pip install 'graphmem[eval]'"
        ) from error
    return jinja2


def page_values(out: Path) -> dict[str, Any]:
    """All that the template shows of a results folder."""
    from graphmem.evaluation.reports.charts import colour

    scores = read_record(out / "scores.json", ExperimentScores)
    experiment = read_record(out / "experiment.json", ExperimentRecord)
    explanations = (
        read_json(out / "explanations.json") if (out / "explanations.json").exists() else {}
    )
    colours = {name: colour(number) for number, name in enumerate(scores.variants)}
    several = len(scores.datasets) > 1 and scores.average
    return {
        "name": scores.experiment,
        "summary": summary_text(experiment),
        "baseline": experiment.baseline,
        "measure": main_measure(scores.k),
        "colours": colours,
        "tables": [_table("Average", scores.average, scores.k)] if several else [],
        "datasets": [
            _dataset(out, experiment, name, entry, colours, explanations.get(name, {}))
            for name, entry in scores.datasets.items()
        ],
        "variants": [
            {
                "name": variant.name,
                "preset": variant.preset,
                "overrides": variant.overrides | _options(variant.iterate),
            }
            for variant in experiment.variants
        ],
        "environment": environment_text(read_record(out / "environment.json", Environment)),
    }


def _options(iterate: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (iterate or {}).items() if value}


def _dataset(
    out: Path,
    experiment: ExperimentRecord,
    name: str,
    entry: DatasetScores,
    colours: Mapping[str, str],
    explanations: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    seed, k = experiment.seeds[0], experiment.k
    folders = {variant: run_folder(out, name, variant, seed) for variant in entry.variants}
    records = {variant: read_records(folder) for variant, folder in folders.items()}
    facts = next(d for d in experiment.datasets if d.name == name)
    return {
        "name": name,
        "passages": entry.passages,
        "questions": entry.questions,
        "scopes": facts.scopes,
        "notes": facts.notes,
        "problems": problems(entry),
        "table": _table(name, entry.variants, k),
        "charts": _charts(entry.variants, records, colours, k),
        "duels": _duels(experiment, folders, records, explanations),
    }


def _table(
    title: str, variants: Mapping[str, VariantScores], cutoffs: Sequence[int]
) -> dict[str, Any]:
    """Rows of cells (number, interval, mark, whether the best, what a pointer is told).

    Costs stand in it where they are known: not of averages.
    """
    first = next(iter(variants.values()))
    measures = shown_measures(cutoffs, first.measures)
    best = {
        m: max(v.measures[m].mean for v in variants.values() if m in v.measures) for m in measures
    }
    rows = []
    p = corrected_p(variants, measures)
    for name, entry in variants.items():
        shown = [m for m in measures if m in entry.measures]
        cells = [_cell(entry, m, best[m], p.get((name, m))) for m in shown]
        took = costs(entry) if isinstance(entry, VariantSheet) else []
        rows.append({"name": name, "cells": cells, "costs": took})
    header = ["ms", "index s", "tokens"] if isinstance(first, VariantSheet) else []
    return {"title": title, "measures": measures, "costs": header, "rows": rows}


def _cell(entry: VariantScores, measure: str, best: float, p: float | None) -> dict[str, Any]:
    value = entry.measures[measure]
    lead = entry.against_baseline.get(measure)
    told = (
        f"{100 * lead.difference:+.1f} against the baseline "
        f"({100 * lead.low:+.1f} to {100 * lead.high:+.1f}), p = {lead.p:.4f}, "
        f"corrected {p:.4f}"
        if lead
        else ""
    )
    return {
        "number": f"{100 * value.mean:.1f}",
        "interval": f"{100 * value.low:.1f} – {100 * value.high:.1f}",
        "mark": significance(entry, measure, p),
        "best": value.mean >= best,
        "told": told,
    }


Records = Sequence[tuple[JudgedQuestion, Mapping[str, Any]]]


def _charts(
    variants: Mapping[str, VariantSheet],
    records: Mapping[str, Records],
    colours: Mapping[str, str],
    cutoffs: Sequence[int],
) -> list[dict[str, Any]]:
    from graphmem.evaluation.reports.charts import bar_chart, line_chart, scatter_chart

    measure = main_measure(cutoffs)

    curves = {name: _recall_curve(found, max(cutoffs)) for name, found in records.items()}
    charts = [{"title": "Recall at k", "svg": line_chart(curves, colours, "k", "recall, %")}]
    for label in KINDS:
        found = {name: variant.groups(label) for name, variant in variants.items()}
        groups = sorted({group for by_group in found.values() for group in by_group})
        if len(groups) < 2:
            continue
        bars = {
            name: [100 * by_group[group][measure] for group in groups]
            for name, by_group in found.items()
        }
        counts = next(iter(found.values()))
        labels = [f"{group or '–'} ({counts[group]['questions']})" for group in groups]
        charts.append(
            {
                "title": f"{measure} by {label} (questions)",
                "svg": bar_chart(bars, colours, labels, label, f"{measure}, %"),
            }
        )
    timed = {}
    for name, variant in variants.items():
        if variant.latency.median_ms is not None:
            value = variant.measures[measure]
            percent = (100 * value.mean, 100 * value.low, 100 * value.high)
            timed[name] = (variant.latency.median_ms, *percent)
    if timed:
        svg = scatter_chart(timed, colours, "median ms for a question", f"{measure}, %")
        charts.append({"title": "Quality against latency", "svg": svg})
    return charts


def _recall_curve(records: Records, depth: int) -> list[float]:
    """Recall in percent at 1, 2, .., depth."""
    sums = [0.0] * (depth + 1)
    for question, record in records:
        for rank in record["gold_ranks"].values():
            if rank is not None and rank <= depth:
                sums[rank] += 100 / len(question.gold) / len(records)
    curve = []
    total = 0.0
    for share in sums[1:]:
        total += share
        curve.append(total)
    return curve


def _duels(
    experiment: ExperimentRecord,
    folders: Mapping[str, Path],
    records: Mapping[str, Records],
    explanations: Mapping[str, Mapping[str, str]],
) -> list[dict[str, Any]]:
    """Each variant against the baseline, question by question."""
    baseline, measure = experiment.baseline, main_measure(experiment.k)
    if baseline not in records:
        return []
    by_id = {
        name: {question.id: (question, r) for question, r in found}
        for name, found in records.items()
    }
    duels = []
    for name in records:
        if name == baseline:
            continue
        differing = differing_questions(folders[name], folders[baseline], measure)
        wins = sum(lead > 0 for _, lead in differing)
        shown = []
        for id_, lead in wins_and_losses(differing, experiment.explain):
            question = by_id[name][id_][0]
            sides = [
                _side(side, by_id[side][id_], explanations.get(side, {}).get(id_, ""))
                for side in (name, baseline)
            ]
            shown.append(
                {
                    "question": question,
                    "lead": f"{100 * lead:+.0f}",
                    "sides": sides,
                    "won": lead > 0,
                }
            )
        duels.append(
            {
                "variant": name,
                "wins": wins,
                "losses": len(differing) - wins,
                "ties": len(records[name]) - len(differing),
                "shown": shown,
            }
        )
    return duels


def _side(
    variant: str, item: tuple[JudgedQuestion, Mapping[str, Any]], explanation: str
) -> dict[str, Any]:
    question, record = item
    gold = set(question.gold)
    hits = [
        {"id": id_, "title": title or id_, "score": score, "text": text, "gold": id_ in gold}
        for id_, title, score, text in record["hits"][:_HITS]
    ]
    later = [rank for rank in record["gold_ranks"].values() if rank is None or rank > _HITS]
    ranks = ", ".join("not found" if rank is None else str(rank) for rank in later)
    return {
        "variant": variant,
        "route": record["route"],
        "queries": record.get("queries", [])[1:],
        "error": record["error"],
        "hits": hits,
        "later": ranks,
        "explanation": explanation,
    }
