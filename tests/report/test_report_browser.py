"""The page of a run as its reader meets it, in a real browser: the slider moves, nothing is
loaded, everything can be read, and it prints."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from browser import FAINT, browser, console, printed, requests, resize
from par.tools import report as tool
from recorded_run import make_run
from reported import SECTIONS, complete

pytestmark = pytest.mark.slow

A4 = 718  # CSS pixels between the browser's own margins

# Keeps what is told of each state, and when, in milliseconds.
SHOWN = """
window.shown = [];
const state = document.getElementById("pi-state");
const record = () => shown.push([state.textContent, performance.now()]);
new MutationObserver(record).observe(state, {childList: true});
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = complete(tmp_path_factory.mktemp("complete"), hostile=True)
    assert tool.main([f"--run={made}"]) == 0
    return made


@pytest.fixture(scope="module")
def reader(run, tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture
def opened(run, reader):
    """The page, opened anew at 1,280 pixels."""
    return open_page(reader, run)


def open_page(driver, run: Path, width: int = 1280):
    resize(driver, width)
    driver.get((run / "report.html").as_uri())
    return driver


def rows_of(run: Path) -> list[dict]:
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == "train"]


def map_shown(driver) -> list[str]:
    """What is seen of pi: the text of each cell that shows one, row by row."""
    return driver.execute_script(
        "return [...document.querySelectorAll('#pi-map td.best span')].map((cell) =>"
        " cell.textContent)"
    )


def numbers(row: dict) -> list[str]:
    """What the map shows of a row of the history, in the order of the cells."""
    likeliest = [max(range(3), key=lambda kind: (p[kind], kind)) for p in row["pi"]]
    return [
        ("fixed" if block == 3 else f"{p[kind]:.2f}")
        for kind in range(3)
        for block, p in enumerate(row["pi"])
        if likeliest[block] == kind
    ]


def test_a_page_of_hostile_texts_runs_nothing_loads_nothing_and_has_every_section(opened):
    # not what the texts would make of it
    assert opened.title == "Search sssd on synthetic: report"
    for name in SECTIONS:
        assert opened.find_element("id", name).is_displayed(), name
    assert opened.execute_script(
        "return [...document.images].every((image) => image.complete && image.naturalWidth > 100)"
    )
    assert (
        opened.find_element("id", "samples").text.count("<script>document.title='owned'</script>")
        == 1
    )
    assert console(opened) == [] and requests(opened) == []


def test_the_policy_holds_even_where_markup_would_get_in(opened):
    opened.execute_script(
        "document.getElementById('samples').innerHTML = '<img"
        ' src="https://example.invalid/x.png" onerror="document.title=1">\''
    )
    wait(lambda: any("Content Security Policy" in line for line in console(opened)))
    assert requests(opened) == []
    assert opened.title == "Search sssd on synthetic: report"


def test_the_slider_and_its_keys_move_the_map_to_the_history_s_values(run, opened):
    from selenium.webdriver.common.keys import Keys

    rows, slider = rows_of(run), opened.find_element("id", "pi-step")
    assert map_shown(opened) == numbers(rows[-1]) and slider.is_displayed()
    written = re.findall(
        r'<td class="(p\d[^"]*)">', (run / "report.html").read_text(encoding="utf-8")
    )
    assert (
        opened.execute_script(
            "return [...document.querySelectorAll('#pi-map td')].map((cell) => cell.className)"
        )
        == written
    )
    for keys, place in (
        (Keys.HOME, 0),
        (Keys.ARROW_RIGHT, 1),
        (Keys.ARROW_RIGHT, 2),
        (Keys.ARROW_LEFT, 1),
        (Keys.END, len(rows) - 1),
    ):
        slider.send_keys(keys)
        said = f"step {rows[place]['step']} of 62, tau {rows[place]['tau']:.3f}"
        assert map_shown(opened) == numbers(rows[place])
        assert (
            opened.find_element("id", "pi-state").text
            == said
            == slider.get_attribute("aria-valuetext")
        )
    assert numbers(rows[0]) != numbers(rows[1]) != numbers(rows[-1])
    colours = {
        cell.value_of_css_property("background-color")
        for cell in opened.find_elements("css selector", "#pi-map td")
    }
    assert len(colours) > 3


def test_play_runs_to_the_end_pause_holds_it_and_the_button_works_by_key(run, opened):
    from selenium.webdriver.common.keys import Keys

    button, state = opened.find_element("id", "pi-play"), opened.find_element("id", "pi-state")
    end = state.text
    assert button.text == "Play"
    button.send_keys(Keys.ENTER)
    wait(lambda: "step 2 " not in state.text and state.text != end)
    assert button.text == "Pause"
    button.click()
    held = state.text
    time.sleep(0.9)  # two states of at most half a second
    assert button.text == "Play" and state.text == held != end
    button.send_keys(Keys.SPACE)
    wait(lambda: state.text == end and button.text == "Play", seconds=40)


def wait(true, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_for_whom_motion_is_too_much_the_states_are_few_and_calm(run, tmp_path):
    with browser(tmp_path, reduced_motion=True) as driver:
        open_page(driver, run)
        cell = driver.find_element("css selector", "#pi-map td")
        assert cell.value_of_css_property("transition-duration") == "0s"
        assert (
            driver.execute_script(
                "return getComputedStyle(document.documentElement).scrollBehavior"
            )
            == "auto"
        )
        driver.execute_script(SHOWN)
        driver.find_element("id", "pi-play").click()
        wait(lambda: len(driver.execute_script("return shown")) >= 2)
        first, second = driver.execute_script("return shown.slice(0, 2)")
        # of 31 states every third,
        assert first[0].startswith("step 2 ") and second[0].startswith("step 8 ")
        assert second[1] - first[1] > 900  # a second each; on a busy machine more
        assert requests(driver) == [] and console(driver) == []


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_page(run, reader, width):
    open_page(reader, run, width)
    assert reader.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [
        width,
        width,
    ]
    parts = "document.querySelectorAll('p, pre, figure, dl, h1, h2, h3, .controls, .scroll')"
    assert (
        reader.execute_script(
            f"return [...{parts}].filter((e) => e.getBoundingClientRect().right >"
            " innerWidth).map((e) => e.outerHTML)"
        )
        == []
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_can_be_read_in_light_and_dark(run, tmp_path, dark):
    # without motion a colour is there at once
    with browser(tmp_path, dark=dark, reduced_motion=True) as driver:
        open_page(driver, run)
        ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", ground))) < 64) == dark
        seen, faint = driver.execute_script(FAINT)
        assert seen > 300 and faint == []
        driver.execute_script(
            "document.getElementById('pi-step').value = 0;"
            " document.getElementById('pi-step').dispatchEvent(new Event('input'))"
        )
        assert driver.execute_script(FAINT)[1] == []


def test_in_the_colours_of_the_system_the_map_keeps_its_own(opened):
    colours = (
        "return [...new Set([...document.querySelectorAll('#pi-map td, .ramp i')].map((e) =>"
        " getComputedStyle(e).backgroundColor))].sort()"
    )
    own = opened.execute_script(colours)
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "forced-colors", "value": "active"}]}
    )
    try:
        assert (
            opened.execute_script("return matchMedia('(forced-colors: active)').matches")
            and opened.execute_script(colours) == own
        )
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert len(own) > 5


def test_everything_that_can_be_used_is_reached_by_the_keyboard_and_seen_to_be(opened):
    from selenium.webdriver.common.keys import Keys

    opened.find_element("tag name", "body").send_keys(Keys.TAB)
    first = opened.switch_to.active_element
    assert (
        first.text == "To the content"
        and first.location["x"] >= 0
        and first.value_of_css_property("outline-style") == "solid"
    )
    reached = []
    for _ in range(14):
        opened.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(
            opened.switch_to.active_element.get_attribute("id")
            or opened.switch_to.active_element.get_attribute("href")
            or ""
        )
    assert (
        "pi-play" in reached
        and "pi-step" in reached
        and sum("#" in place for place in reached) == len(SECTIONS)
    )


def test_it_prints_on_some_pages_with_the_last_state_and_without_buttons(run, opened):
    opened.execute_script(
        "document.getElementById('pi-step').value = 0;"
        " document.getElementById('pi-step').dispatchEvent(new Event('input'))"
    )
    paper = printed(opened)
    assert (
        paper.startswith(b"%PDF-") and 3 <= len(re.findall(rb"/Type\s*/Page\b(?!s)", paper)) <= 20
    )
    assert map_shown(opened) == numbers(rows_of(run)[-1])
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert (
        not opened.find_element("id", "pi-controls").is_displayed()
        and opened.find_element("id", "pi-map").is_displayed()
    )
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_scripts_the_last_state_is_there_and_no_control_that_does_nothing(run, reader):
    reader.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        open_page(reader, run)
        cells = [
            cell.get_attribute("textContent")
            for cell in reader.find_elements("css selector", "#pi-map td.best span")
        ]
        assert (
            cells == numbers(rows_of(run)[-1])
            and not reader.find_element("id", "pi-play").is_displayed()
        )
    finally:
        reader.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_map_of_many_blocks_scrolls_by_itself_and_is_narrow_on_paper(reader, tmp_path):
    run = make_run(tmp_path / "deep", 40 * "s", count=5)
    assert tool.main([f"--run={run}"]) == 0
    open_page(reader, run, 400)
    assert reader.execute_script("return document.documentElement.scrollWidth") == 400
    assert reader.execute_script(
        "const e = document.querySelector('#pi .scroll'); return e.scrollWidth > 2 * e.clientWidth"
        " && e.tabIndex === 0"
    )
    resize(reader, A4)
    reader.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    wide = reader.execute_script("return document.documentElement.scrollWidth")
    reader.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert wide < 1.6 * A4  # by so much all of it is printed smaller
