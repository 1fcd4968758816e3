"""The report in a real browser: it opens offline, moves with its slider, and shows what models said as text."""

import asyncio
import dataclasses
import re
from html.parser import HTMLParser

import pytest

from semcascade.errors import InputError
from semcascade.evaluation import report
from semcascade.evaluation.studying import study
from tests.evaluation.rows import HOSTILE, MEMBERS, questions
from tests.support.chromium import find_chromium, open_chromium

pytest.importorskip("altair", reason="the report's extra is not installed")
pytest.importorskip("vl_convert", reason="the report's extra is not installed")

CERTIFICATE = {"certified": True, "claim": "joint", "limit": 0.05, "rows": 200, "accepted": 90, "method": "a test"}


@pytest.fixture(scope="module")
def found():
    tier = {"members": list(MEMBERS), "threshold": 0.6, "certificate": CERTIFICATE}
    policy = {"semcascade_policy": 1, "target": "large", "tiers": [tier]}
    rows = questions(hostile=True)
    return asyncio.run(study(rows, MEMBERS, "large", title=f"sums {HOSTILE}", policy=policy))


@pytest.fixture(scope="module")
def path(found, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    report.save(found, path)
    return path


class Elements(HTMLParser):
    """The elements of a page, and what stands in their attributes that could fetch something."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.fetched = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in {"src", "href", "srcset", "action", "style"}]


def test_the_page_holds_all_that_it_needs_and_no_more_scripts_than_its_own(path):
    page = Elements(path.read_text(encoding="utf-8"))
    assert page.fetched == ["data:,"]
    assert page.tags.count("script") == 3, "its data, Vega, and its own"
    assert not {"img", "iframe", "object", "embed", "form"} & set(page.tags)
    assert path.stat().st_size < 3_000_000


def test_the_policy_of_the_page_lets_nothing_be_fetched(path):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', path.read_text(encoding="utf-8"))[1]
    assert policy.startswith("default-src 'none'; script-src &#39;sha256-")
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.partition("style-src")[0]


def test_every_control_and_picture_has_a_name(path):
    text = path.read_text(encoding="utf-8")
    for name in ("threshold", "signal"):
        assert f'<label for="{name}"' in text
    assert text.count('role="group" aria-label="') == 4
    tags = Elements(text).tags
    assert tags.count("caption") == tags.count("table") == 4


def test_a_page_that_cannot_be_written_is_told(found, tmp_path):
    with pytest.raises(InputError, match="cannot write"):
        report.save(found, tmp_path / "nowhere" / "report.html")


@pytest.fixture(scope="module")
def browser():
    found = find_chromium()
    if found is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    pytest.importorskip("playwright", reason="playwright is not installed")
    with open_chromium(found) as browser:
        yield browser


@pytest.fixture
def opened(browser, path):
    """Open the page as somebody with a given screen would; fails on any complaint or request but that for the page."""
    seen, contexts = [], []

    def open_page(**screen):
        context = browser.new_context(**screen)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: seen.append(message.text))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("request", lambda request: seen.append(request.url) if request.url != path.as_uri() else None)
        page.on("dialog", lambda dialog: seen.append(dialog.message))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn]", timeout=120_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert seen == []


def numbers(page):
    """Return what the page says beside the slider."""
    said = {name: page.text_content(f"#now-{name}") for name in ("threshold", "rate", "cost", "quality")}
    return {name: float(text.removesuffix(" %")) / (100 if "%" in text else 1) for name, text in said.items()}


def told(step):
    """Return what it should say of a threshold, up to rounding."""
    return pytest.approx(dataclasses.asdict(step), abs=0.00501)


def test_moving_the_slider_changes_the_numbers_and_the_pictures(opened, found):
    page = opened()
    assert numbers(page) == told(found.steps[60])
    place = "#chart-frontier .mark-symbol.role-mark path >> nth=-1"
    before = page.get_attribute(place, "transform")
    page.locator("#threshold").fill("0.95")
    assert numbers(page) == told(found.steps[95])
    assert numbers(page) != told(found.steps[60])
    page.wait_for_function("([css, old]) => [...document.querySelectorAll(css)].at(-1).getAttribute('transform') !== old",
                           arg=["#chart-frontier .mark-symbol.role-mark path", before])  # fmt: skip
    assert "quality" in page.get_attribute("#threshold", "aria-valuetext")
    page.locator("#threshold").press("ArrowLeft")
    assert numbers(page) == told(found.steps[94])


def test_every_picture_is_drawn_and_another_signal_can_be_chosen(opened, found):
    page = opened()
    for name in ("deferral", "frontier", "histogram", "reliability"):
        assert page.locator(f"#chart-{name} svg").count() == 1
    other = found.signals[-1].name
    page.locator("#signal").select_option(other)
    assert page.get_attribute("#signals tr.chosen", "data-signal") == other


def test_what_models_said_stays_text(opened):
    page = opened()
    assert page.evaluate("window.stolen") is None
    assert HOSTILE.replace("\u2028", "") in page.text_content("h1").replace("\u2028", "")
    assert page.locator(".answer .said").first.text_content().count("<script>") == 1
    assert page.locator("img, iframe").count() == 0
    assert "49" not in page.locator(".answer .said").first.text_content().partition("{{")[2]


def test_a_script_that_slipped_in_would_not_run(opened, browser, path):
    page = browser.new_context().new_page()
    page.goto(path.as_uri())
    page.evaluate("""() => {
        const script = document.createElement('script');
        script.textContent = 'window.stolen = 3';
        document.body.append(script);
    }""")
    assert page.evaluate("window.stolen") is None
    page.context.close()


def test_it_fits_a_phone(opened):
    page = opened(viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("#chart-deferral svg").bounding_box()["width"] <= 360


def test_dark_surroundings_make_a_dark_page(opened):
    page = opened(color_scheme="dark")
    assert page.get_attribute("html", "data-drawn") == "dark"
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="light")
    page.wait_for_selector("html[data-drawn=light]", timeout=120_000)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


def test_the_certificate_is_told(opened):
    assert "Certified by a test" in opened().text_content("main")
