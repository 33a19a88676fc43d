"""Make the indexes of an experiment ahead of it, and say what they cost.

    python pipelines/build_index.py pipelines/configs/three_sets.toml --indexes sets.results/indexes

An experiment that is run with the same --indexes finds them there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from graphmem.errors import GraphmemError
from graphmem.evaluation.experiment import plans
from graphmem.evaluation.runs.indexes import IndexCache, index_costs, index_order
from graphmem.evaluation.runs.specification import read_experiment
from graphmem.rendering.progress import progress


def main() -> int:
    """Build; 0 where all is there."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("experiment", type=Path, help="experiment file (TOML)")
    parser.add_argument("--indexes", type=Path, required=True, help="folder of the indexes")
    arguments = parser.parse_args()
    try:
        build(arguments.experiment, arguments.indexes)
    except GraphmemError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def build(file: Path, folder: Path) -> None:
    """Make every index that the experiment needs and print a table."""
    experiment = read_experiment(file)
    planned = plans(experiment)
    table = Table("data set", "index", "passages", "entities", "MB", "seconds", "")
    with progress() as tell:
        cache = IndexCache(folder, tell=tell)
        for plan in planned:
            for options in index_order(plan.variants):
                for seed in experiment.seeds:
                    costs = index_costs(cache.of_scopes(plan.dataset, options, seed).values())
                    table.add_row(
                        plan.dataset.name,
                        f"{options.embedder}, seed {seed}"
                        + ", triples" * bool(options.openie)
                        + ", sentences" * options.sentences,
                        f"{costs.passages:,}",
                        f"{costs.entities:,}",
                        f"{costs.bytes / 1e6:.1f}",
                        f"{sum(costs.seconds.values()):.1f}" + ("" if costs.whole else "+"),
                        "was there" if costs.reused else "made",
                    )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
