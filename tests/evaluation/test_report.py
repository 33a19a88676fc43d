import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from graphmem.evaluation.experiment import run_experiment
from graphmem.evaluation.reports.charts import bar_chart, line_chart, scatter_chart
from graphmem.evaluation.reports.markdown import markdown_table
from graphmem.evaluation.reports.wording import corrected_p, significance
from graphmem.evaluation.runs.recorded import read_record
from graphmem.evaluation.runs.specification import (
    DatasetSpec,
    Experiment,
    IndexOptions,
    preset_variant,
)
from graphmem.evaluation.scores.sheets import ExperimentScores, Lead, VariantScores

COLOURS = {"<b>": "#123456", "b": "#654321"}


@pytest.fixture(scope="module")
def out(small: Path, indexes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    variants = tuple(
        preset_variant(name, IndexOptions("hashing")) for name in ("default", "bm25", "dense")
    )
    specs = (DatasetSpec(small), DatasetSpec(small, name="<i>again</i>"))
    experiment = Experiment("A & B", specs, variants, baseline="dense", cutoffs=(1, 5), latency=2)
    run_experiment(experiment, folder, indexes=indexes)
    return folder


class _Page(HTMLParser):
    """Tags with their attributes; complains of tags that are not closed."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _page(out: Path) -> _Page:
    page = _Page()
    page.feed((out / "report.html").read_text("utf-8"))
    return page


def test_the_page_is_whole_and_loads_nothing(out: Path):
    page = _page(out)
    assert not page.stack
    html = (out / "report.html").read_text("utf-8")
    assert not re.search(r"https?:|//|url\(|@import", html.replace("http-equiv", ""))
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "base", "form")
        assert not {"src", "href", "srcset", "action"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)


def test_everything_is_escaped(out: Path):
    html = (out / "report.html").read_text("utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html, "the hostile passage is shown, as text"
    assert "&lt;img src=x" in html
    assert "&lt;i&gt;again" in html
    assert "<h1>A &amp; B</h1>" in html
    markdown = (out / "report.md").read_text("utf-8")
    assert "&lt;i>again" in markdown
    assert "<i>" not in markdown


def test_the_page_shows_tables_charts_and_duels(out: Path):
    page = _page(out)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("svg") >= 6
    assert tags.count("table") == 4, "average, two data sets, variants"
    assert any(attributes.get("class") == "gold" for _, attributes in page.tags)
    assert re.search(r"default against\s+dense: \d+ won, \d+ lost, \d+ equal", page.text)
    assert "seeds:" in page.text, "the explanation of the walk"


def test_markdown_tables_have_intervals_and_costs(out: Path):
    scores = read_record(out / "scores.json", ExperimentScores)
    table = markdown_table(scores, "small").splitlines()
    assert table[0].startswith("|  | recall@1 | recall@5 | all_gold@5 | ndcg@5 | mrr | ms |")
    assert re.match(r"\| default \| \d+\.\d[▲▼]? \(\d+\.\d–\d+\.\d\) \|", table[2])
    assert {line.count("|") for line in table} == {table[0].count("|")}
    assert len(markdown_table(scores).splitlines()) == 5


def test_marks_are_corrected_for_all_comparisons_of_the_table():
    def entry(p):
        leads = {m: Lead(0.1, 0.0, 0.2, p) for m in ("mrr", "recall@2")}
        return VariantScores(measures={}, against_baseline=leads)

    variants = {"base": VariantScores(measures={}), "sure": entry(0.001), "perhaps": entry(0.02)}
    p = corrected_p(variants, ["recall@2", "mrr"])
    assert p["sure", "mrr"] == pytest.approx(0.004)
    assert p["perhaps", "mrr"] == pytest.approx(0.04)  # two are left when it is its turn
    assert ("base", "mrr") not in p
    assert significance(variants["sure"], "mrr", p["sure", "mrr"]) == "▲"
    assert significance(variants["sure"], "mrr", 0.05) == ""
    more = variants | {f"other {i}": entry(0.5) for i in range(10)}
    assert corrected_p(more, ["recall@2", "mrr"])["perhaps", "mrr"] > 0.05


def test_charts_escape_their_labels_and_stand_any_input():
    for chart in (
        line_chart({"<b>": [10.0, 50.0]}, COLOURS, "<x>", "y"),
        line_chart({"b": [100.0]}, COLOURS, "x", "<y>"),
        bar_chart({"<b>": [10.0]}, COLOURS, ["<g>"], "x", "y"),
        scatter_chart({"<b>": (0.0, 50.0, 40.0, 60.0)}, COLOURS, "x", "y"),
        scatter_chart({"b": (1.0, 100.0, 100.0, 100.0)}, COLOURS, "x", "y"),
    ):
        assert "<b>" not in chart
        assert "<g>" not in chart
        assert chart.startswith("<svg") and chart.endswith("</svg>")
        assert "nan" not in chart
    assert scatter_chart({}, COLOURS, "x", "y") == ""
