"""What both reports say: sentences, the columns of tables, marks, costs, problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from graphmem.base.counts import counted
from graphmem.evaluation.runs.environment import Environment
from graphmem.evaluation.runs.recorded import ExperimentRecord
from graphmem.evaluation.scores.bootstrap import holm
from graphmem.evaluation.scores.sheets import DatasetScores, VariantScores, VariantSheet

_SIGNIFICANT = 0.05


def summary_text(experiment: ExperimentRecord) -> str:
    """What was done, in a few sentences."""
    seeds = ", ".join(map(str, experiment.seeds))
    text = (
        f"Percent, with 95 % intervals (percentile bootstrap over questions). The passages of "
        f"every data set were shuffled before indexing (seed {seeds}). A question that failed or "
        f"is missing from a run counts 0."
    )
    if experiment.latency:
        text += (
            " Milliseconds are of one question at a time, median over up to "
            f"{counted(experiment.latency, 'question')}."
        )
    if chat := experiment.chat:
        text += (
            f" Variants with a method are led by {chat['model']} and not timed; tokens and "
            "cost are what they take, whether it was paid now or answered from the cache."
        )
    if experiment.baseline:
        text += (
            f" ▲ and ▼: better and worse than {experiment.baseline} "
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


def corrected_p(
    variants: Mapping[str, VariantScores], measures: Sequence[str]
) -> dict[tuple[str, str], float]:
    """p-value of each variant's lead in each measure, corrected for all of a table (Holm).

    Args:
        variants: The rows of the table.
        measures: Its columns.

    Returns:
        By variant and measure; nothing for the baseline itself.
    """
    leads = {
        (name, measure): entry.against_baseline[measure].p
        for name, entry in variants.items()
        for measure in measures
        if measure in entry.against_baseline
    }
    return dict(zip(leads, holm(list(leads.values())), strict=True))


def significance(entry: VariantScores, measure: str, p: float | None) -> str:
    """▲ or ▼ where a variant differs from the baseline beyond chance, else "".

    Args:
        entry: The variant.
        measure: The measure.
        p: Its corrected p-value, None where there is nothing to compare.
    """
    if p is None or p >= _SIGNIFICANT:
        return ""
    return "▲" if entry.against_baseline[measure].difference > 0 else "▼"


def costs(entry: VariantSheet) -> list[str]:
    """Milliseconds, index seconds and tokens of a variant on one data set, as text.

    Beside the tokens stand calls and cost where there are any.
    """
    median, index, tokens = entry.latency.median_ms, entry.index, entry.tokens
    milliseconds = "–" if median is None else f"{median:.1f}"
    seconds = f"{sum(index.seconds.values()):.0f}" + ("" if index.whole else "+")
    used = [f"{tokens.prompt + tokens.completion:,}"]
    used += [counted(entry.calls, "call")] if entry.calls else []
    used += [f"cost {entry.cost:.4g}"] if entry.cost else []
    return [milliseconds, seconds, ", ".join(used)]


def problems(entry: DatasetScores) -> list[str]:
    """One line for every variant of a data set of which a question failed or is missing."""
    lines = []
    for name, variant in entry.variants.items():
        failed, missing = variant.failed, set(variant.missing) - set(variant.failed)
        if failed:
            reason = next(iter(failed.values()))
            lines.append(
                f"{name}: {counted(len(failed), 'question')} failed and count 0 ({reason})"
            )
        if missing:
            ids = ", ".join(sorted(missing)[:5])
            lines.append(
                f"{name}: {counted(len(missing), 'question')} not in the run, count 0: {ids}"
            )
    return lines


def environment_text(environment: Environment) -> str:
    """Versions and machine in one paragraph."""
    packages = ", ".join(f"{name} {number}" for name, number in environment.packages.items())
    commit = environment.git_commit
    at = f" at commit {commit[:12]}{'+changes' if '+' in commit else ''}" if commit else ""
    return (
        f"{packages}{at}; Python {environment.python}; {environment.cpu}, "
        f"{environment.cores_available} cores; {environment.system}"
    )
