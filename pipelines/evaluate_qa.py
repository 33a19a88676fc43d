r"""Answer the questions of a finished experiment with a language model, and score the answers.

    python pipelines/evaluate_qa.py pipelines/configs/three_sets.toml --out sets.results \
        --model openai:gpt-4o-mini --budget 500k

The reader is shown the first passages of every run, so that the runs differ in retrieval only.
Answers are cached in OUT/answers.sqlite: an interrupted run goes on without paying twice. Exact
match and F1 join the scores and the report; with --judge a model's own word does too. Tokens and
cost are those that the answers take, whether paid now or before; run.json says what was paid now.

Any server with OpenAI's protocol will do; local_model.py starts one of llama.cpp with a small
model that packages carry. SmolLM2 (135 million parameters) answers that nothing was found even
where it is shown the right passage; Qwen2.5-Coder (0.5 billion) answers from its passages, and is
slow on two cores: ten to twenty seconds a question (configs/answers.toml).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from graphmem.errors import ConfigError, GraphmemError
from graphmem.evaluation.experiment import load_datasets, rescore
from graphmem.evaluation.reports.markdown import markdown_table
from graphmem.evaluation.runs.answering import answer_runs
from graphmem.evaluation.runs.iterating import ANSWERS
from graphmem.evaluation.runs.specification import read_experiment
from graphmem.llm.openai import OpenAIChat
from graphmem.llm.response_cache import CachedChat, ResponseCache
from graphmem.llm.usage import Meter, parse_budget
from graphmem.rendering.progress import progress
from graphmem.types import Price


def main() -> int:
    """Answer and score."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("experiment", type=Path, help="experiment file (TOML)")
    parser.add_argument("--out", type=Path, required=True, help="its results folder")
    parser.add_argument("--model", required=True, help="openai:MODEL, at OPENAI_BASE_URL")
    parser.add_argument("--judge", default="", help="openai:MODEL that grades the answers")
    parser.add_argument("--passages", type=int, default=5, help="passages that the reader is shown")
    parser.add_argument("--threads", type=int, default=8, help="questions under way at once")
    parser.add_argument("--budget", default="", help="tokens (500k) or money ($3.50, with --price)")
    parser.add_argument("--price", nargs=2, type=float, metavar=("IN", "OUT"), help="per million")
    arguments = parser.parse_args()
    try:
        answer(arguments)
    except GraphmemError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def answer(arguments: argparse.Namespace) -> None:
    """Answer every run, score again, and print the tables."""
    price = Price(*arguments.price) if arguments.price else None
    budget = parse_budget(arguments.budget, price) if arguments.budget else None
    datasets = load_datasets(read_experiment(arguments.experiment))
    meter = Meter(budget) if budget else None
    with ResponseCache(arguments.out / ANSWERS) as cache, progress() as tell:
        judge = CachedChat(chat_model(arguments.judge), cache, meter) if arguments.judge else None
        answer_runs(
            arguments.out,
            datasets,
            CachedChat(chat_model(arguments.model), cache, meter),
            passages=arguments.passages,
            judge=judge,
            threads=arguments.threads,
            price=price,
            progress=tell,
        )
    scores = rescore(arguments.out)
    for name in scores.datasets:
        print(f"{name}\n\n{markdown_table(scores, name)}\n")


def chat_model(name: str) -> OpenAIChat:
    """The model of this name.

    Raises:
        ConfigError: The name is not openai:MODEL.
    """
    kind, _, model = name.partition(":")
    if kind != "openai" or not model:
        raise ConfigError(f"the model must be openai:MODEL, not {name!r}")
    return OpenAIChat(model)


if __name__ == "__main__":
    sys.exit(main())
