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
from graphmem.evaluation.experiment import index_costs, load_datasets, scope_indexes
from graphmem.evaluation.runs.indexes import IndexCache, Models, index_order
from graphmem.evaluation.runs.specification import for_dataset, read_experiment
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
    datasets = load_datasets(experiment)
    cache = IndexCache(folder, Models())
    table = Table("data set", "index", "passages", "entities", "MB", "seconds", "")
    with progress() as tell:
        for spec, dataset in zip(experiment.datasets, datasets, strict=True):
            variants = [v for v in (for_dataset(v, spec) for v in experiment.variants) if v]
            for options in index_order(variants):
                for seed in experiment.seeds:
                    built = scope_indexes(dataset, options, seed, cache, tell)
                    costs = index_costs(list(built.values()))
                    table.add_row(
                        dataset.name,
                        f"{options.embedder}, seed {seed}"
                        + ", triples" * bool(options.openie)
                        + ", sentences" * options.sentences,
                        f"{costs['passages']:,}",
                        f"{costs['entities']:,}",
                        f"{costs['bytes'] / 1e6:.1f}",
                        f"{sum(costs['seconds'].values()):.1f}" + ("" if costs["whole"] else "+"),
                        "was there" if costs["reused"] else "made",
                    )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
