"""The report in a real browser: the script runs, the lines are drawn, the read-out is right."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from adaptive_optax.logging import sinks
from adaptive_optax.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the program chromium")

# What a reader does with a mouse, over the middle of the first picture.
HOVER = """<script>
const picture = document.querySelector("figure > svg"), box = picture.getBoundingClientRect();
const where = {clientX: box.left + box.width * (64 + 183) / 440, clientY: box.top + 5};
picture.dispatchEvent(new PointerEvent("pointermove", where));
document.body.dataset.read = [...document.querySelectorAll("figcaption span, .legend b")]
  .map(each => each.textContent).join("|");
document.body.dataset.wide = document.documentElement.scrollWidth > innerWidth;
</script></body>"""


@pytest.fixture
def page(tmp_path):
    """A report on one run: a loss from 10 down to 0 by step 100 and a falling learning rate."""
    with sinks.JSONL(tmp_path / "logs" / "run.jsonl") as sink:
        for step in range(101):
            row = {"loss": 10 - step / 10, "learning_rate": 10 ** (-step / 25)}
            sink.write(step, {**row, "learning_rate/head<b>": 0.5})
    return write_report(tmp_path / "logs")


def browse(page, *options):
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    done = subprocess.run(
        [*words, profile, *options, page.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_script_runs_and_reads_values_back(page):
    page.write_text(page.read_text("utf-8").replace("</body>", HOVER), "utf-8")
    found = browse(page, "--window-size=400,900", "--dump-dom")
    assert 'data-ready="2"' in found
    assert found.count('<g class="curve">') == 3
    read = re.search(r'data-read="([^"]*)"', found)[1].split("|")
    # The loss at step 50 is 5, the rate 1e-2; a height has one decimal.
    assert [read[0], read[2]] == ["step 50", "step 50"]
    values = [float(word.removeprefix("≈ ")) for word in (read[1], *read[3:])]
    np.testing.assert_allclose(values, [5.0, 1e-2, 0.5], rtol=0.01)
    assert 'data-wide="false"' in found  # nothing runs over the side


def test_a_picture_of_it_is_not_blank(page, tmp_path):
    image = pytest.importorskip("PIL.Image")
    place = tmp_path / "page.png"
    browse(page, "--window-size=600,800", f"--screenshot={place}")
    pixels = np.asarray(image.open(place).convert("RGB")).reshape(-1, 3)
    paper, ink, lines = (
        (255, 255, 255),
        (0x1B, 0x1F, 0x24),
        [(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)],
    )
    counts = [(pixels == colour).all(1).sum() for colour in (paper, ink, *lines)]
    assert 0.5 * len(pixels) < counts[0] < 0.99 * len(pixels)
    assert min(counts[1:]) > 50  # words, and the lines in their colours
