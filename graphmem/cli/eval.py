"""Commands for experiments and data sets: thin, each calls one public function."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphmem.cli.options import options_given, reranker_choice, with_reranker
from graphmem.errors import ConfigError, DataError
from graphmem.rendering import text as render
from graphmem.rendering.progress import progress

if TYPE_CHECKING:
    from graphmem.evaluation.scores.sheets import ExperimentScores


@click.command("eval")
@click.argument("targets", nargs=-1, metavar="FILE.toml | DATASET...")
@click.option("--preset", "presets", multiple=True, help="What to compare (repeatable).")
@click.option("--baseline", default="", help="Preset that the others are tested against.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Results folder [default: NAME.results]."
)
@click.option(
    "--indexes", type=click.Path(path_type=Path), help="Index cache [default: OUT/indexes]."
)
@click.option(
    "-k", "cutoffs", type=click.IntRange(min=1), multiple=True, help="Cut-off (repeatable)."
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first questions of each set.")
@click.option("--seed", type=int, help="Of the shuffle and the bootstrap [default: 0].")
@click.option("--embedder", help="As for graphmem index.")
@click.option("--spacy-model", help="As for graphmem index.")
@with_reranker
@click.option("--skip-unjudged", is_flag=True, help="Leave questions without gold out.")
@click.option(
    "--rescore",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Score the runs of this results folder again, without searching.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON.")
def eval_command(
    targets: tuple[str, ...],
    out: Path | None,
    indexes: Path | None,
    rescore: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Index, retrieve, score, compare and report: for data sets, or as an experiment file says.

    A data set is a folder with corpus.jsonl and questions.jsonl, or FORMAT:PATH (musique, hotpot,
    2wiki, hipporag, beir, multihop-rag, locomo, longmemeval). What was finished before is kept:
    after an interruption the same command goes on. With --reranker every preset is searched
    without and with it, the latter called PRESET+reranker.

    Example: graphmem eval data/sample --preset default --preset dense --baseline dense

    Example: graphmem eval data/sample --preset default --baseline default --reranker maxsim

    Example: graphmem eval experiment.toml --out results

    Example: graphmem eval --rescore results
    """
    from graphmem.evaluation.experiment import rescore as rescore_folder
    from graphmem.evaluation.experiment import run_experiment

    if rescore is not None:
        if targets:
            raise click.UsageError("--rescore takes no data set: it reads the results folder")
        if ignored := sorted(set(options_given()) - {"--rescore", "--json"}):
            raise click.UsageError(
                f"--rescore goes with --json alone, not with {', '.join(ignored)}: "
                "the results folder says what was run"
            )
        _show(rescore_folder(rescore), rescore, as_json)
        return
    experiment = _experiment(targets, **options)
    folder = out or Path(f"{experiment.name}.results")
    with progress() as tell:
        scores = run_experiment(experiment, folder, indexes=indexes, progress=tell)
    _show(scores, folder, as_json)


def _experiment(
    targets: tuple[str, ...],
    presets: tuple[str, ...],
    baseline: str,
    cutoffs: tuple[int, ...],
    limit: int | None,
    seed: int | None,
    embedder: str | None,
    spacy_model: str | None,
    skip_unjudged: bool,
    **reranker: Any,
) -> Any:
    from dataclasses import replace

    from graphmem.evaluation.runs.rerankers import rerank_options
    from graphmem.evaluation.runs.specification import (
        CUTOFFS,
        Experiment,
        IndexOptions,
        dataset_spec,
        preset_variant,
        read_experiment,
    )

    if not targets:
        raise click.UsageError("name an experiment file or a data set, e.g. eval data/sample")
    if any(target.endswith(".toml") for target in targets):
        given = (presets, baseline, cutoffs, limit, embedder, spacy_model, skip_unjudged)
        given += tuple(reranker.values())
        if len(targets) > 1 or any(given) or seed is not None:
            raise click.UsageError("an experiment file stands alone: write the options into it")
        return read_experiment(Path(targets[0]))
    index = IndexOptions(embedder or "default", spacy_model or "")
    variants = [preset_variant(name, index) for name in presets or ("default", "dense", "bm25")]
    chosen = reranker_choice(**reranker)
    if chosen["reranker"]:
        rerank = rerank_options(chosen["reranker"], chosen["rerank_depth"])
        variants += [
            replace(variant, name=f"{variant.name}+reranker", rerank=rerank) for variant in variants
        ]
    specs = [
        replace(dataset_spec(target, Path()), limit=limit or 0, skip_unjudged=skip_unjudged)
        for target in targets
    ]
    ks = tuple(sorted(set(cutoffs))) or CUTOFFS
    return Experiment(
        name=specs[0].path.resolve().stem if len(specs) == 1 else "evaluation",
        datasets=tuple(specs),
        variants=tuple(variants),
        cutoffs=ks,
        depth=max(100, *ks),
        seeds=(seed or 0,),
        baseline=baseline or ("dense" if not presets else ""),
    )


def _show(scores: ExperimentScores, folder: Path, as_json: bool) -> None:
    from graphmem.evaluation.reports.markdown import markdown_table
    from graphmem.evaluation.runs.recorded import as_json as json_values

    if as_json:
        click.echo(json.dumps(json_values(scores), ensure_ascii=False))
        return
    for name in scores.datasets:
        click.echo(f"{name}\n\n{markdown_table(scores, name)}\n")
    if len(scores.datasets) > 1 and scores.average:
        click.echo(f"average\n\n{markdown_table(scores)}\n")
    click.echo(f"report: {folder / 'report.html'}", err=True)


@click.group("data")
def data_group() -> None:
    """Convert and check data sets.

    Example: graphmem data check data/sample
    """


_FORMAT = click.option(
    "--format",
    "format_",
    default="graphmem",
    show_default=True,
    help="musique, 2wiki, hotpot, hipporag, beir, multihop-rag, locomo, longmemeval or graphmem.",
)


@data_group.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@_FORMAT
@click.option("--corpus", type=click.Path(path_type=Path), help="Corpus file beside the questions.")
@click.option("--split", help="BEIR: which qrels [default: test].")
@click.option("--granularity", help="Conversations: turn or session [default: turn].")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
def convert_command(source: Path, target: Path, format_: str, force: bool, **options: Any) -> None:
    """Write a published data set as corpus.jsonl and questions.jsonl.

    Example: graphmem data convert musique_ans_v1.0_dev.jsonl musique_dev --format musique
    """
    from graphmem.evaluation.datasets.checks import check_dataset
    from graphmem.evaluation.datasets.dataset import write_own
    from graphmem.evaluation.datasets.formats import read_dataset

    if target.exists() and not target.is_dir():
        raise DataError("expected a new folder, this is a file", str(target))
    if not force and target.is_dir() and any(target.iterdir()):
        raise ConfigError(f"{target}: is not empty; name a new folder, or add --force")
    dataset = read_dataset(source, format_, target.resolve().name, **options)
    write_own(dataset, target, f"{format_}:{source.name}")
    click.echo(_report_text(check_dataset(dataset)))


@data_group.command("check")
@click.argument("source", type=click.Path(path_type=Path))
@_FORMAT
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def check_command(context: click.Context, source: Path, format_: str, as_json: bool) -> None:
    """Check ids, gold, repeats, types and answers; exit code 2 where scores would mean nothing.

    Example: graphmem data check data/sample
    """
    from graphmem.evaluation.datasets.checks import check_dataset
    from graphmem.evaluation.datasets.formats import read_dataset

    report = check_dataset(read_dataset(source, format_))
    if as_json:
        findings = [{"broken": f.broken, "what": f.what, "ids": f.ids} for f in report.findings]
        values = {"name": report.name, **report.counts, "findings": findings}
        click.echo(json.dumps({**values, "broken": report.broken}, ensure_ascii=False))
    else:
        click.echo(_report_text(report))
    if report.broken:
        context.exit(2)


def _report_text(report: Any) -> str:
    counts = dict(report.counts)
    notes = counts.pop("notes")
    lines = [f"{report.name}", render.stats_text(counts), *(f"note: {note}" for note in notes)]
    return "\n".join([*lines, *map(str, report.findings)])
