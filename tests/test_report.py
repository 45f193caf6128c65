"""`adaptive-optax report`: the page, what it says, and what it refuses."""

import argparse
import html
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report_cases import NAN, run

from adaptive_optax.cli import report as command
from adaptive_optax.logging import sinks
from adaptive_optax.logging.read_log import Series
from adaptive_optax.report.drawing import BOTTOM, LEFT, RIGHT, TOP
from adaptive_optax.report.html_page import page as html_page
from adaptive_optax.report.html_page import write_report
from adaptive_optax.report.panels import MOST_LINES, panels
from adaptive_optax.report.runs import Run


class Parsed(HTMLParser):
    """The tags of a page with their attributes, and its text; all tags must be closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self._open = [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def of(self, tag, kind=None):
        return [
            a for t, a in self.tags if t == tag and (not kind or kind in a.get("class", "").split())
        ]


def curves(page):
    """For each picture its title and its curves' points."""
    figures = re.findall(r"<figure><figcaption>(.*?)<span>.*?(<svg viewBox.*?</svg>)", page, re.S)
    found = {}
    for title, svg in figures:
        paths = ET.fromstring(svg).findall(".//*[@class='curve']/path")  # XML too, not only HTML
        # Each stretch of a line has its first point twice, as M and as L.
        points = [re.findall(r"L ([-\d.]+) ([-\d.]+)", path.get("d")) for path in paths]
        found[html.unescape(title)] = [[(float(x), float(y)) for x, y in each] for each in points]
    return found


@pytest.fixture
def logs(tmp_path):
    """Two runs in two formats, one with groups and with values that are not finite."""
    with sinks.JSONL(tmp_path / "adam.jsonl") as sink:
        for step in range(0, 100, 10):
            loss = 1.0 / (1 + step) if step < 80 else NAN
            rate = {"learning_rate": 0.1, "learning_rate/head": 0.2, "learning_rate/body": 0.1}
            sink.write(step, {"loss": loss, **rate, "update_ratio": 0.2, "skipped": step // 40})
    with sinks.CSV(tmp_path / "deep" / "sgd.csv") as sink:
        for step in range(0, 50, 10):
            sink.write(step, {"loss": 2.0 - step / 100, "learning_rate": 0.01, "accuracy": 0.5})
    return tmp_path


def test_the_page(logs):
    path = write_report(logs)
    assert path == logs / "report.html"
    text = path.read_text("utf-8")
    page = Parsed(text)
    words = " ".join(page.text)
    for phrase in (
        "adam: loss is not finite from step 80 on",
        "adam: update ratio is above 1e-01 from step 0 on; the largest is 0.2",
        "adam: skipped 2 steps",
    ):
        assert phrase in words
    rows = re.findall(r"<tr>(<td>.*?)</tr>", text, re.S)
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows]
    assert cells == [
        ["adam", "90", "10", "nan", "0.01408", "70", "0.1", "2", "&ndash;"],
        ["deep/sgd", "40", "5", "1.6", "1.6", "40", "0.01", "&ndash;", "&ndash;"],
    ]
    found = curves(text)
    assert {title: len(paths) for title, paths in found.items()} == {
        "Loss": 2,
        "Learning rate (log)": 2,
        "Update ratio (log)": 1,
        "Accuracy": 1,
        "Learning rate, groups of adam (log)": 2,
    }
    assert len(page.of("g", "bad")) == 2  # steps 80 and 90
    assert len(page.of("g", "guide")) == 1
    assert len(page.of("g", "curve")) == 8


def test_points_are_where_the_values_are(logs):
    """The oracle places the points by hand: the x axis is 0 to 90, the loss is linear or log."""
    found = curves(write_report(logs).read_text("utf-8"))
    adam, sgd = found["Loss"]
    steps = np.arange(0, 80, 10)
    expected = LEFT + steps / 90 * (RIGHT - LEFT)
    np.testing.assert_allclose([x for x, _ in adam], expected, atol=0.051)
    np.testing.assert_allclose([x for x, _ in sgd], expected[:5], atol=0.051)
    values = np.array([*(1.0 / (1 + steps)), *(2.0 - np.arange(0, 50, 10) / 100)])
    low, high = values.min(), values.max()
    room = (high - low) * 0.04
    share = (values - low + room) / (high - low + 2 * room)
    heights = BOTTOM - share * (BOTTOM - TOP)
    np.testing.assert_allclose([y for _, y in adam + sgd], heights, atol=0.051)


def test_a_log_axis_and_its_zero():
    text = html_page("t", [run(learning_rate=[0.0, 1e-4, 1e-3, 1e-2, NAN, 1e-2])], [])
    ((zero, a, b, c, alone),) = curves(text)["Learning rate (log)"]
    assert zero[1] == BOTTOM
    assert a[1] - b[1] == pytest.approx(b[1] - c[1], abs=0.11)
    assert BOTTOM - 10 > a[1] > c[1] == alone[1] > TOP
    path = re.search(r'<g class="curve"> <path d="([^"]*)"', text)[1]
    assert re.findall("[ML]", path) == ["M", *"LLLL", "M", "L"]  # a gap, and a dot after it
    assert re.findall(r"text-anchor: end[^>]*>([^<]*)", text) == ["0", "0.0001", "0.001", "0.01"]


def test_one_run_shows_totals_and_groups_together():
    made, left_out = panels([run(learning_rate=[1.0], learning_rate__a=[1.0], odd__b=[2.0])])
    assert [(p.title, [line.label for line in p.lines]) for p in made] == [
        ("Learning rate", ["all", "a"]),
        ("Odd", ["b"]),
    ]
    assert left_out == 0


HOSTILE = "<img src=x onerror=alert(1)>\"&'</script><script>bad()</script>]]>\u202e"


def test_hostile_names_stay_text(tmp_path):
    """In a metric, a group, a file's and a directory's name."""
    place = tmp_path / "<script>alert(1)<"
    place.mkdir()
    row = {"step": 0, HOSTILE: 1, f"learning_rate/{HOSTILE}": 1, "lone\ud800\x00": 1, "loss": "NaN"}
    (place / '"><img src=x>.jsonl').write_text(json.dumps(row) + "\n")
    (place / "<i>.jsonl").write_text('{"step": 1, "loss": 1}\n')
    (place / "<b>.csv").write_text("epoch\n1\n")
    text = write_report(place).read_text("utf-8")
    page = Parsed(text)
    assert not page.of("img")
    assert not page.of("i")
    assert not page.of("b", "x")
    assert len(page.of("script")) == 1
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")]
    assert "\u202e" not in text
    assert "onerror=alert(1)" in " ".join(page.text)  # shown as what it is
    assert curves(text)  # the pictures are still XML


def test_the_page_loads_nothing(logs):
    text = write_report(logs).read_text("utf-8")
    page = Parsed(text)
    assert not [a for _, a in page.tags if {"src", "href", "action", "data"} & set(a)]
    assert "url(" not in text
    assert "http" not in text.replace("http-equiv", "")
    policy = next(a["content"] for a in page.of("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


def test_a_million_rows_stay_under_two_megabytes():
    steps = np.arange(1_000_000)
    noise = np.random.default_rng(0).normal(size=steps.size)
    names = ["loss", "learning_rate", "gradient_norm", "update_norm", "update_ratio", "cosine"]
    names += [f"loss/{group}" for group in "ab"]
    values = np.exp(noise)
    values[123_456] = 1e5
    text = html_page("t", [Run("run", {n: Series(steps, values) for n in names})], [])
    assert len(text.encode()) < 2_000_000
    points = curves(text)["Loss (log)"][0]
    x, y = min(points, key=lambda point: point[1])  # the one spike is still there
    assert x == pytest.approx(LEFT + 0.123456 * (RIGHT - LEFT), abs=0.051)
    assert y == pytest.approx(TOP + 0.04 / 1.08 * (BOTTOM - TOP), abs=0.11)


def test_many_runs_metrics_and_groups_stay_small():
    runs = [
        run(f"r{i}", **{f"m{j}__g{k}": np.arange(200.0) for j in range(5) for k in range(30)})
        for i in range(30)
    ]
    text = html_page("t", runs, ["other.csv"] * 20)
    assert len(text.encode()) < 2_000_000
    assert text.count('class="legend"') == 60
    assert f"and {30 - MOST_LINES} more" in text
    assert "no room for 90 more pictures" in text
    assert "Not logs, since they have no steps: other.csv" in text


@pytest.mark.parametrize(
    "values", [[1.0], [0.0, 0.0], [NAN], [1e308, -1e308], [5e-324, 1e308], [-1.0, 0.0], [7.0, 7.0]]
)
@pytest.mark.parametrize("name", ["loss", "learning_rate", "cosine"])
def test_odd_values_are_drawn(name, values):
    text = html_page("t", [run(**{name: values})], [])
    if np.isnan(values).all():
        assert "nan in all rows: " + name.replace("_", " ") in text
        assert curves(text) == {}
        return
    ((points,),) = curves(text).values()
    assert "nan" not in re.sub(r"<title>.*|not finite", "", text.split("<script>")[0])
    assert len(points) == np.isfinite(values).sum()
    assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in points)


def called(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


def test_the_command(logs, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert called(logs, "--out", out) == 0
    assert Parsed(out.read_text("utf-8")).of("table")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "adam: loss is not finite from step 80 on"
    assert printed[-1] == f"the report on 2 runs is in {out}"
    assert called(logs) == 0
    assert Path(logs, "report.html").read_text("utf-8") == out.read_text("utf-8")


@pytest.mark.parametrize(
    ("files", "out", "message"),
    [
        (None, None, r"report\('.*'\): there is no such directory"),
        ({}, None, r"report\('.*'\): there is no .jsonl or .csv log in it"),
        ({"a.csv": "epoch\n1\n"}, None, "there is no .jsonl or .csv log in it"),
        ({"a.jsonl": '{"step": 0}\nx\n'}, None, r"a.jsonl, line 2: damaged"),
        ({"a.jsonl": '{"step": 0}\n'}, "no/such/place.html", r"report\(out='.*'\): cannot write"),
    ],
)
def test_errors(tmp_path, capsys, files, out, message):
    place = tmp_path / "logs"
    if files is not None:
        place.mkdir()
        [(place / name).write_text(text) for name, text in files.items()]
    words = [] if out is None else ["--out", tmp_path / out]
    assert called(place, *words) == 2
    assert re.search(message, capsys.readouterr().err)
    with pytest.raises((OSError, ValueError), match=message):
        write_report(place, *words[1:])


def test_two_formats_of_one_run_and_an_empty_log(tmp_path):
    for name in ("a.csv", "a.jsonl"):
        (tmp_path / name).write_text("step,loss\n0,1\n" if "csv" in name else '{"step": 0}\n')
    (tmp_path / "b.jsonl").write_text("")
    text = write_report(tmp_path).read_text("utf-8")
    assert re.findall(r"<tr><td>(.*?)</td>", text) == ["a.csv", "a.jsonl", "b"]
    assert "b: the log has no rows" in text
