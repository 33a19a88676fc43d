"""Fill the tables of README.md and docs/figures.md from the committed results.

    python pipelines/fill_tables.py             write them
    python pipelines/fill_tables.py --check     exit code 1 where a page is not up to date

A table stands between `<!-- table:NAME -->` and `<!-- end -->`. It comes from
pipelines/results/NAME.json, or from the reports in graphmem/searching/second_stage*.json.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from graphmem.evaluation.scores.bootstrap import holm

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "figures.md")
RESULTS = Path(__file__).with_name("results")
BASELINES = RESULTS / "three_sets.json"
SECOND_STAGE = ROOT / "graphmem" / "searching" / "second_stage.json"
SECOND_STAGE_BGE = SECOND_STAGE.with_name("second_stage_bge_small.json")
CUTS = (2, 5, 10, 20)
FEW_FILES = 6
"""Endings of fewer files share a row."""


def main() -> int:
    """Write or check the pages; 0 where they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    texts = {page: page.read_text("utf-8") for page in PAGES}
    old = [page for page, text in texts.items() if filled(text) != text]
    if check and old:
        names = ", ".join(page.name for page in old)
        print(f"{names}: not what pipelines/results says: run python pipelines/fill_tables.py")
        return 1
    for page in old:
        page.write_text(filled(texts[page]), "utf-8")
        print(f"{page.name}: tables written")
    print("the tables are up to date")
    return 0


def filled(text: str) -> str:
    """The text with every table made anew.

    >>> filled("no table here")
    'no table here'
    """

    def fill(found: re.Match[str]) -> str:
        name = found["name"]
        make, source = TABLES[name]
        made = make(json.loads(source.read_text("utf-8")))
        return f"{found['start']}\n{made}\n{found['end']}"

    pattern = r"(?P<start><!-- table:(?P<name>\w+) -->)\n(?s:.*?)(?P<end><!-- end -->)"
    return re.sub(pattern, fill, text)


def retrieval_table(rows: list[dict[str, Any]]) -> str:
    """Recall of every preset on every set, the best recall@5 of a set in bold.

    >>> scores = {"recall@2": 50.0, "recall@5": 75.0, "recall@10": 80.0, "recall@20": 85.5}
    >>> print(retrieval_table([{"set": "a", "preset": "dense", **scores}]))
    | preset | a |
    | --- | --- |
    | `dense` | 50.0 / **75.0** / 80.0 / 85.5 |
    """
    sets = list(dict.fromkeys(row["set"] for row in rows))
    presets = list(dict.fromkeys(row["preset"] for row in rows))
    best = {name: max(row["recall@5"] for row in rows if row["set"] == name) for name in sets}
    cells = {(row["set"], row["preset"]): _cell(row, best[row["set"]]) for row in rows}
    lines = [["preset", *sets], ["---"] * (len(sets) + 1)]
    lines += [[f"`{p}`", *(cells.get((name, p), "") for name in sets)] for p in presets]
    return _markdown(lines)


def _cell(row: dict[str, Any], best: float) -> str:
    values = [f"{row[f'recall@{k}']:.1f}" for k in CUTS]
    if row["recall@5"] == best:
        values[1] = f"**{values[1]}**"
    return " / ".join(values)


def other_sets_table(rows: list[dict[str, Any]]) -> str:
    """Recall on the sets that `baselines_table` does not show."""
    shown = json.loads(BASELINES.read_text("utf-8"))["datasets"]
    return retrieval_table([row for row in rows if row["set"] not in shown])


def baselines_table(results: dict[str, Any]) -> str:
    """A table for every set: measures with intervals, milliseconds, index seconds, tokens.

    >>> variant = {"measures": {"recall@2": [50.0, 40.0, 60.0]}, "ms": 1.25,
    ...            "index_seconds": 9.7, "tokens": 0}
    >>> sets = {"a": {"passages": 1000, "questions": 2, "variants": {"dense": variant}}}
    >>> print(baselines_table({"machine": "m", "datasets": sets}))
    **a**: 1,000 passages, 2 questions; m
    <BLANKLINE>
    | preset | recall@2 | ms | index s | tokens |
    | --- | --- | --- | --- | --- |
    | `dense` | **50.0** (40–60) | 1.2 | 10 | 0 |
    """
    parts = []
    for name, entry in results["datasets"].items():
        variants = entry["variants"]
        measures = list(next(iter(variants.values()))["measures"])
        best = {m: max(v["measures"][m][0] for v in variants.values()) for m in measures}
        header = [m.replace("_", " ") for m in measures]
        lines = [["preset", *header, "ms", "index s", "tokens"], ["---"] * (len(measures) + 4)]
        for variant, values in variants.items():
            cells = [_interval_cell(values["measures"][m], best[m]) for m in measures]
            costs = [_number(values["ms"], ".1f"), _number(values["index_seconds"], ".0f")]
            lines.append([f"`{variant}`", *cells, *costs, f"{values['tokens']:,}"])
        facts = f"{entry['passages']:,} passages, {entry['questions']:,} questions"
        parts.append(f"**{name}**: {facts}; {results['machine']}\n\n{_markdown(lines)}")
    return "\n\n".join(parts)


def _interval_cell(value: list[float], best: float) -> str:
    mean = f"**{value[0]:.1f}**" if value[0] == best else f"{value[0]:.1f}"
    return f"{mean} ({value[1]:.0f}–{value[2]:.0f})"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"


def ablation_table(results: dict[str, Any]) -> str:
    """Differences to the default: average recall@2 and @5, and recall@5 on every set.

    Bold where it is not chance: p < 0.05, corrected for all cells of the table (Holm).

    >>> change = {"recall@2": [-1.0, -3.0, 1.0, 0.3], "recall@5": [-5.0, -8.0, -2.0, 0.001]}
    >>> default = {"measures": {"recall@2": [60, 5, 7], "recall@5": [80, 7, 9]}, "difference": {}}
    >>> rows = {"default": default, "no walk": {"difference": change}}
    >>> print(ablation_table({"baseline": "default", "average": rows,
    ...                       "datasets": {"a": {"variants": rows}}}))
    |  | average recall@2 | average recall@5 | a recall@5 |
    | --- | --- | --- | --- |
    | `default` | 60.0 | 80.0 | 80.0 |
    | no walk | -1.0 (-3.0 to +1.0) | **-5.0** (-8.0 to -2.0) | **-5.0** (-8.0 to -2.0) |
    """
    base, average = results["baseline"], results["average"]
    columns = [("average", average, "recall@2"), ("average", average, "recall@5")]
    columns += [(name, set_["variants"], "recall@5") for name, set_ in results["datasets"].items()]
    changed = [name for name in average if name != base]
    leads = [[table[name]["difference"][m] for _, table, m in columns] for name in changed]
    p = iter(holm([lead[3] for row in leads for lead in row]))
    lines = [["", *(f"{name} {m}" for name, _, m in columns)], ["---"] * (len(columns) + 1)]
    lines.append(
        [f"`{base}`", *(f"{table[base]['measures'][m][0]:.1f}" for _, table, m in columns)]
    )
    for name, row in zip(changed, leads, strict=True):
        lines.append([name, *(_difference_cell(lead, next(p)) for lead in row)])
    return _markdown(lines)


def _difference_cell(lead: list[float], p: float) -> str:
    mean = f"{lead[0]:+.1f}"
    return f"{f'**{mean}**' if p < 0.05 else mean} ({lead[1]:+.1f} to {lead[2]:+.1f})"


def _markdown(lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def second_stage_table(model: dict[str, Any]) -> str:
    """Recall@2 / @5 on questions not trained on, from the report that the parameters carry.

    The columns are the sets that stand in every row.

    >>> scores = {"recall@2": 50.0, "recall@5": 75.0}
    >>> print(second_stage_table({"report": {"walk": {"a": scores}, "average": {"walk": scores}}}))
    |  | a | average |
    | --- | --- | --- |
    | walk | 50.0 / 75.0 | 50.0 / 75.0 |
    """
    kinds = dict(model["report"])
    average = kinds.pop("average")
    names = [n for n in next(iter(kinds.values())) if all(n in sets for sets in kinds.values())]
    lines = [["", *names, "average"], ["---"] * (len(names) + 2)]
    for kind, scores in kinds.items():
        cells = [*(scores[name] for name in names), average[kind]]
        lines.append(
            [kind, *(f"{cell['recall@2']:.1f} / {cell['recall@5']:.1f}" for cell in cells)]
        )
    return _markdown(lines)


HARD = {
    "dense, in the hard setting": "vectors alone (`dense`)",
    "walk, in the hard setting": "the walk alone (`walk`)",
    "cross-validated, in the hard setting": "`default`",
}


def overview_table(model: dict[str, Any]) -> str:
    """Recall@2 / @5 in the hard setting on every set of questions.

    >>> sets = {"a": {"recall@2": 50.0, "recall@5": 75.0}}
    >>> print(overview_table({"report": dict.fromkeys(HARD, sets)}))
    |  | a |
    | --- | --- |
    | vectors alone (`dense`) | 50.0 / 75.0 |
    | the walk alone (`walk`) | 50.0 / 75.0 |
    | `default` | 50.0 / 75.0 |
    """
    report = {name: model["report"][kind] for kind, name in HARD.items()}
    sets = next(iter(report.values()))
    lines = [["", *sets], ["---"] * (len(sets) + 1)]
    for name, scores in report.items():
        cells = (f"{scores[s]['recall@2']:.1f} / {scores[s]['recall@5']:.1f}" for s in sets)
        lines.append([name, *cells])
    return _markdown(lines)


def benchmark_table(results: dict[str, Any]) -> str:
    """Ratios of the benchmarks, side by side in one run, with the machine.

    >>> found = {"passages": 9, "ratio": 2.0, "open_seconds": 0.1, "peak_memory_mib": 5}
    >>> none = ("indexing", "batch", "filtered")
    >>> print(benchmark_table({"machine": "m", "search": [found], **dict.fromkeys(none, [])}))
    | on m | passages | ratio | peak memory |
    | --- | --- | --- | --- |
    | search / embedding of its question (opened in 0.10 s) | 9 | 2.00 | 5 MiB |
    """
    lines = [[f"on {results['machine']}", "passages", "ratio", "peak memory"], ["---"] * 4]
    rows = [("wall / ((CPU embedding + CPU extraction) / cores)", r) for r in results["indexing"]]
    rows += [
        (f"one by one / {r['questions']:,} questions in one call", r) for r in results["batch"]
    ]
    rows += [
        (f"search / embedding of its question (opened in {r['open_seconds']:.2f} s)", r)
        for r in results["search"]
    ]
    rows += [
        (f"search among {100 * r['share']:.0f} % / among all (a filter seen before)", r)
        for r in results["filtered"]
    ]
    for what, r in rows:
        memory = f"{r['peak_memory_mib']} MiB"
        lines.append([what, f"{r['passages']:,}", f"{r['ratio']:.2f}", memory])
    return _markdown(lines)


CHANGES = {
    "add_one": "add one",
    "of_it_extract_and_embed": "of it, extract and embed",
    "add_ten": "add ten",
    "delete_one": "delete one",
    "first_search_after": "first search after",
}


def changing_table(results: dict[str, Any], part: str = "changing") -> str:
    """What a change costs at several sizes, beside assembling all anew.

    >>> times = {f"{name}_ms": 100 for name in CHANGES}
    >>> row = {"passages": 9, "assemble_anew_seconds": 1.5, "ratio": 15.0, **times}
    >>> print(changing_table({"changing": [row]}).splitlines()[-1])
    | 9 | 100 ms | 100 ms | 100 ms | 100 ms | 100 ms | 1.5 s, 15 times the first |
    """
    lines = [["passages", *CHANGES.values(), "anew"], ["---"] * (2 + len(CHANGES))]
    for r in results[part]:
        cells = [f"{r[f'{name}_ms']} ms" for name in CHANGES]
        anew = f"{r['assemble_anew_seconds']:.1f} s, {r['ratio']:.0f} times the first"
        lines.append([f"{r['passages']:,}", *cells, anew])
    return _markdown(lines)


def flooding_table(results: dict[str, Any]) -> str:
    """What floods cost, by defence: mean over the sets, the worst set, poisoned questions.

    >>> clean = {"none": {"dense": [80.0, 0.0]}, "filter": {"dense": [80.0, 0.0]}}
    >>> flood = {"none": {"dense": [70.0, 50.0]}, "filter": {"dense": [79.0, 0.0]}}
    >>> two = {"a": {"": clean, "x_y": flood}, "b": {"": clean, "x_y": clean}}
    >>> print(flooding_table({"flooded": two}))
    | flood | defence | dense |
    | --- | --- | --- |
    | x y | none | -5.0, -10.0 (25) |
    |  | filter | -0.5, -1.0 (0) |
    """
    sets = results["flooded"]
    first = next(iter(sets.values()))
    presets = list(first[""]["none"])
    lines = [["flood", "defence", *presets], ["---"] * (2 + len(presets))]
    for flood in [name for name in first if name]:
        for place, defence in enumerate(first[flood]):
            cells = []
            for preset in presets:
                before = [found[""]["none"][preset][0] for found in sets.values()]
                after = [found[flood][defence][preset] for found in sets.values()]
                lost = [a[0] - b for a, b in zip(after, before, strict=True)]
                poisoned = sum(a[1] for a in after) / len(after)
                mean = sum(lost) / len(lost)
                cells.append(f"{mean:+.1f}, {min(lost):+.1f} ({poisoned:.0f})")
            lines.append(["" if place else flood.replace("_", " "), defence, *cells])
    return _markdown(lines).replace("+0.0", "0.0").replace("-0.0", "0.0")


def honest_table(results: dict[str, Any]) -> str:
    """Recall@5 without a flood, without and with a defence.

    >>> scores = {"none": {"dense": [80.0, 0.0]}, "size 9": {"dense": [79.0, 0.0]}}
    >>> flooded = {"a": {"": {**scores, "filter": {}}}}
    >>> print(honest_table({"flooded": flooded, "honest": {"b+c": {"c": scores}}}))
    | questions of | among | dense |
    | --- | --- | --- |
    | a | its own | 80.0, 79.0 |
    | c | b+c | 80.0, 79.0 |
    """
    rows = [(name, "its own", found[""]) for name, found in results["flooded"].items()]
    for sets, by_set in results["honest"].items():
        rows += [(s, "its own" if s == sets else sets, found) for s, found in by_set.items()]
    presets = list(rows[0][2]["none"])
    lines = [["questions of", "among", *presets], ["---"] * (2 + len(presets))]
    for name, among, found in rows:
        both = list(found.values())[:2]
        lines.append([name, among, *(", ".join(f"{d[p][0]:.1f}" for d in both) for p in presets)])
    return _markdown(lines)


def growing_table(results: dict[str, Any]) -> str:
    """Recall@5 of every set and preset as the corpus grows.

    >>> among = lambda recall: {"a": {"walk": {"recall@5": recall}}}
    >>> print(growing_table({"9": among(75.0), "90": among(50.0)}))
    |  |  | 9 | 90 |
    | --- | --- | --- | --- |
    | a | `walk` | 75.0 | 50.0 |
    """
    lines = [["", "", *(f"{int(size):,}" for size in results)], ["---"] * (2 + len(results))]
    for name, presets in next(iter(results.values())).items():
        for place, preset in enumerate(presets):
            cells = [f"{sets[name][preset]['recall@5']:.1f}" for sets in results.values()]
            lines.append(["" if place else name, f"`{preset}`", *cells])
    return _markdown(lines)


def mixed_folder_table(results: dict[str, Any]) -> str:
    """Files of each ending of a mixed folder, with what became of them; rare endings in one row.

    >>> kinds = {".md": [13, 12, 55], ".docx": [2, 0, 0], ".sh": [1, 1, 1]}
    >>> found = {"kinds": kinds, "files": 16, "indexed": 13, "passages": 56}
    >>> print(mixed_folder_table(found))
    | ending | files | indexed | named as left out | passages |
    | --- | --- | --- | --- | --- |
    | `.md` | 13 | 12 | 1 | 55 |
    | 2 others | 3 | 1 | 2 | 1 |
    | all | 16 | 13 | 3 | 56 |
    """
    lines = [["ending", "files", "indexed", "named as left out", "passages"], ["---"] * 5]
    others = [counts for counts in results["kinds"].values() if counts[0] < FEW_FILES]
    rows = {
        name if name == "none" else f"`{name}`": counts
        for name, counts in results["kinds"].items()
        if counts[0] >= FEW_FILES
    }
    rows[f"{len(others)} others"] = [sum(column) for column in zip(*others, strict=True)]
    rows["all"] = [results["files"], results["indexed"], results["passages"]]
    for name, (files, indexed, passages) in rows.items():
        cells = (files, indexed, files - indexed, passages)
        lines.append([name, *(f"{count:,}" for count in cells)])
    return _markdown(lines)


def fuzz_table(runs: list[dict[str, Any]]) -> str:
    """What was tried of each target, and how often something was found, over its runs.

    >>> run = {"target": "texts", "cases": 1193, "findings": 1, "seconds": 90, "slowest": 7.4}
    >>> print(fuzz_table([run, run]))
    | target | seeds | cases | minutes | findings | longest case, s |
    | --- | --- | --- | --- | --- | --- |
    | `texts` | 2 | 2,386 | 3 | 2 | 7 |
    """
    lines = [["target", "seeds", "cases", "minutes", "findings", "longest case, s"], ["---"] * 6]
    for target in dict.fromkeys(run["target"] for run in runs):
        own = [run for run in runs if run["target"] == target]
        cases, seconds, found = (sum(r[n] for r in own) for n in ("cases", "seconds", "findings"))
        longest = max(run["slowest"] for run in own)
        row = [len(own), f"{cases:,}", f"{seconds / 60:.0f}", found, f"{longest:.0f}"]
        lines.append([f"`{target}`", *map(str, row)])
    return _markdown(lines)


def learned_words_table(results: dict[str, Any]) -> str:
    """Recall@2 / @5 / @10 without and with learned words, the gain at 5.

    >>> one = {"recall@2": 40.0, "recall@5": 50.0, "recall@10": 60.0}
    >>> walk = {"without": one, "with": one, "difference@5": [0.0, -1.0, 1.0]}
    >>> print(learned_words_table({"sets": {"a": {"presets": {"walk": walk}}}}))
    | set | preset | without | `--sparse` | recall@5 |
    | --- | --- | --- | --- | --- |
    | a | `walk` | 40.0 / 50.0 / 60.0 | 40.0 / 50.0 / 60.0 | +0.0 (-1.0 to +1.0) |
    """
    lines = [["set", "preset", "without", "`--sparse`", "recall@5"], ["---"] * 5]
    for name, found in results["sets"].items():
        for place, (preset, entry) in enumerate(found["presets"].items()):
            recalls = [
                " / ".join(f"{entry[kind][f'recall@{k}']:.1f}" for k in (2, 5, 10))
                for kind in ("without", "with")
            ]
            gain, low, high = entry["difference@5"]
            lines.append(
                [
                    "" if place else name,
                    f"`{preset}`",
                    *recalls,
                    f"{gain:+.1f} ({low:+.1f} to {high:+.1f})",
                ]
            )
    return _markdown(lines)


def learned_words_costs(results: dict[str, Any]) -> str:
    """What learned words cost a passage and a question, beside vectors.

    >>> costs = {"embedder_ms": [20.0, 3.0], "words_ms": [9.0, 2.0], "bytes_passage": [1900, 3000]}
    >>> print(learned_words_costs({"sets": {"a": {"passages": 1234, **costs}}}))
    | set | passages | a passage, ms | a question, ms | a passage, bytes |
    | --- | --- | --- | --- | --- |
    | a | 1,234 | 20.0, 9.0 | 3.0, 2.0 | 1,900, 3,000 |
    """
    first = ["set", "passages", "a passage, ms", "a question, ms", "a passage, bytes"]
    lines = [first, ["---"] * len(first)]
    for name, found in results["sets"].items():
        both = zip(found["embedder_ms"], found["words_ms"], strict=True)
        times = [f"{vectors:.1f}, {words:.1f}" for vectors, words in both]
        sizes = ", ".join(f"{size:,}" for size in found["bytes_passage"])
        lines.append([name, f"{found['passages']:,}", *times, sizes])
    return _markdown(lines)


def answers_table(results: dict[str, Any]) -> str:
    """Recall@5 and answers by preset, for every set and on average; F1 against the baseline.

    >>> variant = {"measures": {"recall@5": [50, 40, 60], "exact_match": [20, 0, 30],
    ...            "f1": [25.0, 10, 40]}}
    >>> better = {"difference": {"f1": [5.0, -1.0, 11.0, 0.25]}, **variant}
    >>> sets = {"a": {"questions": 9, "variants": {"dense": variant, "default": better}}}
    >>> print(answers_table({"datasets": sets, "average": {"dense": variant, "default": better}}))
    | set | questions | preset | recall@5 | exact match | F1 | F1 gained |
    | --- | --- | --- | --- | --- | --- | --- |
    | a | 9 | `dense` | 50.0 | 20.0 | 25.0 |  |
    |  |  | `default` | 50.0 | 20.0 | 25.0 | +5.0 (-1.0 to +11.0) |
    | mean |  | `dense` | 50.0 | 20.0 | 25.0 |  |
    |  |  | `default` | 50.0 | 20.0 | 25.0 | +5.0 (-1.0 to +11.0) |
    """
    first = ["set", "questions", "preset", "recall@5", "exact match", "F1", "F1 gained"]
    lines = [first, ["---"] * len(first)]
    sets = [(n, str(e["questions"]), e["variants"]) for n, e in results["datasets"].items()]
    for name, questions, variants in [*sets, ("mean", "", results["average"])]:
        for place, (preset, entry) in enumerate(variants.items()):
            scores = [f"{entry['measures'][m][0]:.1f}" for m in ("recall@5", "exact_match", "f1")]
            lead = entry.get("difference", {}).get("f1")
            gained = f"{lead[0]:+.1f} ({lead[1]:+.1f} to {lead[2]:+.1f})" if lead else ""
            shown = ["", ""] if place else [name, questions]
            lines.append([*shown, f"`{preset}`", *scores, gained])
    return _markdown(lines)


TABLES: dict[str, tuple[Callable[[Any], str], Path]] = {
    "baselines": (baselines_table, BASELINES),
    "answers": (answers_table, RESULTS / "answers.json"),
    "fuzz": (fuzz_table, RESULTS / "fuzz.json"),
    "ablation": (ablation_table, RESULTS / "ablation.json"),
    "retrieval": (other_sets_table, RESULTS / "retrieval.json"),
    "benchmarks": (benchmark_table, RESULTS / "benchmarks.json"),
    "changing": (changing_table, RESULTS / "benchmarks.json"),
    "growth": (partial(changing_table, part="growth"), RESULTS / "benchmarks.json"),
    "flooding": (flooding_table, RESULTS / "flooding.json"),
    "honest": (honest_table, RESULTS / "flooding.json"),
    "growing": (growing_table, RESULTS / "hard_setting.json"),
    "second_stage": (second_stage_table, SECOND_STAGE),
    "second_stage_bge": (second_stage_table, SECOND_STAGE_BGE),
    "overview": (overview_table, SECOND_STAGE),
    "learned_words": (learned_words_table, RESULTS / "learned_words.json"),
    "learned_costs": (learned_words_costs, RESULTS / "learned_words.json"),
    "mixed_folder": (mixed_folder_table, RESULTS / "mixed_folder.json"),
}


if __name__ == "__main__":
    sys.exit(main())
