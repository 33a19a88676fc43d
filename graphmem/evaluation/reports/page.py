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
from graphmem.evaluation.reports.report import (
    corrected_p,
    costs,
    environment_text,
    problems,
    shown_measures,
    significance,
    summary_text,
)
from graphmem.evaluation.runs.recorded import read_json, read_records
from graphmem.evaluation.runs.running import run_folder

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

    scores, experiment = read_json(out / "scores.json"), read_json(out / "experiment.json")
    explanations = (
        read_json(out / "explanations.json") if (out / "explanations.json").exists() else {}
    )
    colours = {name: colour(number) for number, name in enumerate(scores["variants"])}
    measure = main_measure(scores["k"])
    several = len(scores["datasets"]) > 1 and scores["average"]
    tables = [_table(scores, "Average", scores["average"])] if several else []
    return {
        "name": scores["experiment"],
        "summary": summary_text(experiment),
        "baseline": experiment["baseline"],
        "measure": measure,
        "colours": colours,
        "tables": tables,
        "datasets": [
            _dataset(out, experiment, scores, name, colours, explanations.get(name, {}))
            for name in scores["datasets"]
        ],
        "variants": [
            {
                "name": variant["name"],
                "preset": variant["preset"],
                "overrides": variant["overrides"] | _options(variant.get("iterate")),
            }
            for variant in experiment["variants"]
        ],
        "environment": environment_text(read_json(out / "environment.json")),
    }


def _options(iterate: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (iterate or {}).items() if value}


def _dataset(
    out: Path,
    experiment: Mapping[str, Any],
    scores: Mapping[str, Any],
    name: str,
    colours: Mapping[str, str],
    explanations: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    entry, seed = scores["datasets"][name], experiment["seeds"][0]
    measure = main_measure(scores["k"])
    records = {
        variant: read_records(run_folder(out, name, variant, seed)) for variant in entry["variants"]
    }
    facts = next(d for d in experiment["datasets"] if d["name"] == name)
    return {
        "name": name,
        "passages": entry["passages"],
        "questions": entry["questions"],
        "scopes": facts["scopes"],
        "notes": facts["notes"],
        "problems": problems(entry),
        "table": _table(scores, name, entry["variants"], with_costs=True),
        "charts": _charts(entry, records, colours, scores["k"]),
        "duels": _duels(out, experiment, name, measure, records, explanations),
    }


def _table(
    scores: Mapping[str, Any], title: str, variants: Mapping[str, Any], with_costs: bool = False
) -> dict[str, Any]:
    """Rows of cells (number, interval, mark, whether the best, what a pointer is told)."""
    first = next(iter(variants.values()))
    measures = shown_measures(scores["k"], first["measures"])
    best = {
        m: max(v["measures"][m]["mean"] for v in variants.values() if m in v["measures"])
        for m in measures
    }
    rows = []
    p = corrected_p(variants, measures)
    for name, entry in variants.items():
        shown = [m for m in measures if m in entry["measures"]]
        cells = [_cell(entry, m, best[m], p.get((name, m))) for m in shown]
        rows.append({"name": name, "cells": cells, "costs": costs(entry) if with_costs else []})
    header = ["ms", "index s", "tokens"] if with_costs else []
    return {"title": title, "measures": measures, "costs": header, "rows": rows}


def _cell(entry: Mapping[str, Any], measure: str, best: float, p: float | None) -> dict[str, Any]:
    value = entry["measures"][measure]
    lead = entry.get("against_baseline", {}).get(measure)
    told = (
        f"{100 * lead['difference']:+.1f} against the baseline "
        f"({100 * lead['low']:+.1f} to {100 * lead['high']:+.1f}), p = {lead['p']:.4f}, "
        f"corrected {p:.4f}"
        if lead
        else ""
    )
    return {
        "number": f"{100 * value['mean']:.1f}",
        "interval": f"{100 * value['low']:.1f} – {100 * value['high']:.1f}",
        "mark": significance(entry, measure, p),
        "best": value["mean"] >= best,
        "told": told,
    }


Records = Sequence[tuple[JudgedQuestion, dict[str, Any]]]


def _charts(
    entry: Mapping[str, Any],
    records: Mapping[str, Records],
    colours: Mapping[str, str],
    cutoffs: Sequence[int],
) -> list[dict[str, Any]]:
    from graphmem.evaluation.reports.charts import bar_chart, line_chart, scatter_chart

    measure = main_measure(cutoffs)

    curves = {name: _recall_curve(found, max(cutoffs)) for name, found in records.items()}
    charts = [{"title": "Recall at k", "svg": line_chart(curves, colours, "k", "recall, %")}]
    variants = entry["variants"]
    for field, label in (("by_hops", "hops"), ("by_type", "type")):
        groups = sorted({group for variant in variants.values() for group in variant[field]})
        if len(groups) < 2:
            continue
        bars = {
            name: [100 * variant[field][group][measure] for group in groups]
            for name, variant in variants.items()
        }
        counts = next(iter(variants.values()))[field]
        labels = [f"{group or '–'} ({counts[group]['questions']})" for group in groups]
        charts.append(
            {
                "title": f"{measure} by {label} (questions)",
                "svg": bar_chart(bars, colours, labels, label, f"{measure}, %"),
            }
        )
    timed = {
        name: (
            variant["latency"]["median_ms"],
            *(100 * variant["measures"][measure][key] for key in ("mean", "low", "high")),
        )
        for name, variant in variants.items()
        if variant["latency"]["questions"]
    }
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
    out: Path,
    experiment: Mapping[str, Any],
    dataset: str,
    measure: str,
    records: Mapping[str, Records],
    explanations: Mapping[str, Mapping[str, str]],
) -> list[dict[str, Any]]:
    """Each variant against the baseline, question by question."""
    baseline, seed = experiment["baseline"], experiment["seeds"][0]
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
        differing = differing_questions(out, dataset, name, baseline, seed, measure)
        wins = sum(lead > 0 for _, lead in differing)
        shown = []
        for id_, lead in wins_and_losses(differing, experiment["explain"]):
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
