"""The report page as a browser shows it."""

from pathlib import Path

import pytest
from browser import CHROMIUM, chromium

from graphmem.evaluation.experiment import run_experiment
from graphmem.evaluation.runs.recorded import read_json
from graphmem.evaluation.runs.specification import (
    DatasetSpec,
    Experiment,
    IndexOptions,
    preset_variant,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
NAMES = ("default", "bm25", "dense")
DEPTH = 5


@pytest.fixture(scope="module")
def out(small, indexes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("browsed")
    variants = tuple(preset_variant(name, IndexOptions("hashing")) for name in NAMES)
    specs = (DatasetSpec(small), DatasetSpec(small, name="a data set with a long name, again"))
    experiment = Experiment(
        *("Experiment", specs, variants), baseline="dense", cutoffs=(1, DEPTH), latency=2
    )
    run_experiment(experiment, folder, indexes=indexes)
    return folder


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def page(tab, out):
    tab.open((out / "report.html").as_uri())
    return tab


def test_it_loads_without_a_complaint_and_asks_for_nothing_else(tab, out):
    tab.events.clear()
    url = (out / "report.html").as_uri()
    tab.open(url)
    tab.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert [r["request"]["url"] for r in tab.of("Network.requestWillBeSent")] == [url]
    assert tab.of("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded") == []
    assert tab.evaluate("document.title") == "Experiment"


def test_a_page_that_complains_is_noticed(tab, tmp_path: Path):
    """The check above sees what it looks for: a picture that is missing, and a script's error."""
    file = tmp_path / "bad.html"
    file.write_text("<img src=missing.png><script>oops()</script>")
    tab.events.clear()
    tab.open(file.as_uri())
    assert len(tab.of("Network.requestWillBeSent")) == 2
    assert len(tab.of("Runtime.exceptionThrown")) == 1


def test_the_tables_hold_the_scores(page, out):
    scores = read_json(out / "scores.json")
    tables = page.evaluate(
        """[...document.querySelectorAll('table:not(.plain)')].map(t => [...t.rows].map(
        r => [...r.cells].map(c => c.innerText.trim())))"""
    )
    averages = scores["average"]
    shown = [averages, *(entry["variants"] for entry in scores["datasets"].values())]
    assert len(tables) == len(shown) == 3
    for rows, variants in zip(tables, shown, strict=True):
        assert [row[0] for row in rows[1:]] == list(NAMES)
        place = rows[0].index(f"recall@{DEPTH}")
        for row in rows[1:]:
            value = variants[row[0]]["measures"][f"recall@{DEPTH}"]
            number, *_, interval = row[place].split("\n")
            assert number.split()[0] == f"{100 * value['mean']:.1f}"
            assert interval == f"{100 * value['low']:.1f} – {100 * value['high']:.1f}"


def test_the_curves_are_drawn(page):
    curves = page.evaluate(
        """[...document.querySelectorAll('polyline')].map(p => ({
        points: p.points.numberOfItems, width: p.getBoundingClientRect().width,
        stroke: getComputedStyle(p).stroke, name: p.querySelector('title').textContent}))"""
    )
    assert [curve["name"] for curve in curves] == 2 * list(NAMES)
    for curve in curves:
        assert curve["points"] == DEPTH
        assert curve["width"] > 100
    assert len({curve["stroke"] for curve in curves}) == len(NAMES)
    dots = page.evaluate(
        "[...document.querySelectorAll('circle')].map(c => c.getBoundingClientRect().width)"
    )
    assert len(dots) == 2 * len(NAMES) and min(dots) > 3


def test_wins_and_losses_open(page):
    heights = """[...document.querySelectorAll('details.duel')].map(
        d => d.getBoundingClientRect().height)"""
    closed = page.evaluate(heights)
    assert len(closed) >= 2
    page.evaluate("document.querySelectorAll('details.duel > summary').forEach(s => s.click())")
    opened = page.evaluate(heights)
    assert min(after - before for before, after in zip(closed, opened, strict=True)) > 200
    sides = page.evaluate(
        "[...document.querySelectorAll('.side ol')].map(o => o.getBoundingClientRect().height)"
    )
    assert len(sides) == 2 * len(closed) and min(sides) > 100
    why = page.evaluate(
        """[...document.querySelectorAll('details.duel details')].map(d => {
        d.querySelector('summary').click(); return d.querySelector('pre').innerText })"""
    )
    assert any("seeds:" in text for text in why)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_can_be_read(tab, out, width, scheme):
    tab.open((out / "report.html").as_uri(), width=width, scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    contrasts = tab.evaluate(_CONTRASTS)
    assert len(contrasts) > 50
    low = {text: ratio for text, ratio in contrasts if ratio < 4.5}
    assert not low


# Contrast of every text with what lies behind it (WCAG 2, section 1.4.3 asks for 4.5).
_CONTRASTS = """(() => {
  const numbers = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = c.map(v => { v /= 255;
    return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 });
    return .2126 * r + .7152 * g + .0722 * b };
  const behind = e => { for (; e; e = e.parentElement) {
    const c = numbers(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c.slice(0, 3) } return [255, 255, 255] };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode, e = text.parentElement;
    if (!text.data.trim() || !e.getClientRects().length || e.tagName === 'title') continue;
    const style = getComputedStyle(e);
    const ink = numbers(e instanceof SVGElement ? style.fill : style.color).slice(0, 3);
    const [a, b] = [light(ink), light(behind(e))].sort((x, y) => y - x);
    found.push([text.data.trim(), (a + .05) / (b + .05)]);
  }
  return found })()"""
