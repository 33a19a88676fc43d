r"""Run an experiment file and mark its scores against expected ones: OK, OKish or FAIL.

    python pipelines/evaluate_retrieval.py pipelines/configs/three_sets.toml --out sets.results
    python pipelines/evaluate_retrieval.py pipelines/configs/three_sets.toml --out sets.results \
        --record

Expected scores are in pipelines/expected/NAME.json, NAME being that of the experiment file:
{data set: {variant: {measure: percent}}}. A score is OK within 0.05 points of it or above it, OKish
down to 1 point below (other versions of spaCy or of the embedder's runtime), else FAIL. --record
writes the scores of this run there, and what tables show of them, with intervals and costs, to
pipelines/results/NAME.json. The exit code is 1 where a score fails or is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from graphmem.errors import GraphmemError
from graphmem.evaluation.experiment import rescore, run_experiment
from graphmem.evaluation.runs.environment import Environment
from graphmem.evaluation.runs.recorded import read_record
from graphmem.evaluation.runs.specification import read_experiment
from graphmem.evaluation.scores.sheets import ExperimentScores, VariantScores, VariantSheet
from graphmem.rendering.progress import progress

EXPECTED = Path(__file__).with_name("expected")
RESULTS = Path(__file__).with_name("results")
MEASURES = ("recall@2", "recall@5", "recall@10", "all_gold@5", "exact_match", "f1")
OK, OKISH = 0.05, 1.0

Verdict = Literal["OK", "OKish", "FAIL"]


@dataclass(frozen=True, slots=True)
class Check:
    """One score against the expected one, in percent; `found` is None where there is none."""

    dataset: str
    variant: str
    measure: str
    expected: float
    found: float | None

    @property
    def verdict(self) -> Verdict:
        """How near it is; better than expected is OK."""
        if self.found is None or self.found < self.expected - OKISH:
            return "FAIL"
        return "OK" if self.found >= self.expected - OK else "OKish"


def main() -> int:
    """Run and check."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("experiment", type=Path, help="experiment file (TOML)")
    parser.add_argument("--out", type=Path, required=True, help="results folder")
    parser.add_argument("--indexes", type=Path, help="index cache [OUT/indexes]")
    parser.add_argument("--rescore", action="store_true", help="score the runs that are there")
    parser.add_argument("--record", action="store_true", help="write the scores as expected ones")
    arguments = parser.parse_args()
    started = time.monotonic()
    try:
        if arguments.rescore:
            scores = rescore(arguments.out)
        else:
            experiment = read_experiment(arguments.experiment)
            with progress() as tell:
                scores = run_experiment(
                    experiment, arguments.out, indexes=arguments.indexes, progress=tell
                )
    except GraphmemError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{time.monotonic() - started:.0f} s; report: {arguments.out / 'report.html'}")
    file = EXPECTED / f"{arguments.experiment.stem}.json"
    if arguments.record:
        file.write_text(json.dumps(recorded(scores), ensure_ascii=False, indent=1) + "\n")
        kept = RESULTS / file.name
        environment = read_record(arguments.out / "environment.json", Environment)
        kept.write_text(json.dumps(shown(scores, environment), ensure_ascii=False, indent=1) + "\n")
        print(f"recorded: {file} and {kept}")
        return 0
    if not file.is_file():
        print(f"nothing is expected: there is no {file}")
        return 0
    checks = list(compare(scores, json.loads(file.read_text("utf-8"))))
    show(checks)
    return 1 if any(check.verdict == "FAIL" for check in checks) else 0


def recorded(scores: ExperimentScores) -> dict[str, dict[str, dict[str, float]]]:
    """The scores of a run in the form of an expected file."""
    return {
        dataset: {
            variant: {
                measure: round(100 * sheet.measures[measure].mean, 2)
                for measure in MEASURES
                if measure in sheet.measures
            }
            for variant, sheet in entry.variants.items()
        }
        for dataset, entry in scores.datasets.items()
    }


def shown(scores: ExperimentScores, environment: Environment) -> dict[str, Any]:
    """What tables show of the scores: percent as [mean, low, high], differences with p."""
    machine = f"{environment.cores_available} cores ({environment.cpu})"
    return {
        "experiment": scores.experiment,
        "baseline": scores.baseline,
        "machine": f"{machine}, Python {environment.python}",
        "datasets": {
            name: {
                "passages": entry.passages,
                "questions": entry.questions,
                "variants": {v: _shown(x) | _costs(x) for v, x in entry.variants.items()},
            }
            for name, entry in scores.datasets.items()
        },
        "average": {name: _shown(entry) for name, entry in scores.average.items()},
    }


def _shown(entry: VariantScores) -> dict[str, Any]:
    return {
        "measures": {
            m: [*map(_percent, (found.mean, found.low, found.high))]
            for m in MEASURES
            if (found := entry.measures.get(m))
        },
        "difference": {
            m: [*map(_percent, (lead.difference, lead.low, lead.high)), lead.p]
            for m in MEASURES
            if (lead := entry.against_baseline.get(m))
        },
    }


def _percent(value: float) -> float:
    return round(100 * value, 2)


def _costs(entry: VariantSheet) -> dict[str, Any]:
    seconds = round(sum(entry.index.seconds.values()), 1) if entry.index.whole else None
    return {
        "ms": entry.latency.median_ms,
        "index_seconds": seconds,
        "tokens": entry.tokens.prompt + entry.tokens.completion,
    }


def compare(scores: ExperimentScores, expected: Mapping[str, Any]) -> Iterator[Check]:
    """Every expected score beside the one that was found."""
    found = recorded(scores)
    for dataset, variants in expected.items():
        for variant, measures in variants.items():
            for measure, value in measures.items():
                score = found.get(dataset, {}).get(variant, {}).get(measure)
                yield Check(dataset, variant, measure, value, score)


def show(checks: list[Check]) -> None:
    """Print all checks, and how many hold."""
    table = Table("data set", "variant", "measure", "expected", "found", "")
    styles = {"OK": "green", "OKish": "yellow", "FAIL": "red"}
    for check in checks:
        found = "–" if check.found is None else f"{check.found:.1f}"
        row = (check.dataset, check.variant, check.measure, f"{check.expected:.1f}", found)
        table.add_row(*row, f"[{styles[check.verdict]}]{check.verdict}[/]")
    Console().print(table)
    counts = {name: sum(check.verdict == name for check in checks) for name in styles}
    print(", ".join(f"{count} {name}" for name, count in counts.items()))


if __name__ == "__main__":
    sys.exit(main())
