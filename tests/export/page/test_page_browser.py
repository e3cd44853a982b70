"""The page as its user meets it, in a real browser: it writes, stops, can be read and used by
keyboard, and asks for nothing."""

from __future__ import annotations

import time

import pytest

import par
from browser import FAINT, browser, console, requests, resize
from built import tiny_data
from par.export.page import html
from shipped_run import source
from small import random_run, small_config
from writing_page import COUNT, fill, open_page, until, write

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page of a network of random weights, and the library's network with the same."""
    root = tmp_path_factory.mktemp("page")
    data = tiny_data(root)
    model = par.load(random_run(root / "run", small_config(data, "aida", cutoffs=(60,)), data))
    own, page = source(model, data), root / "index.html"
    page.write_text(html.html(own), encoding="utf-8")
    return page, html.with_rounded_weights(own.plain)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture
def opened(made, reader):
    return open_page(reader, made[0])


def test_it_writes_the_greedy_text_of_the_library_and_asks_for_nothing(made, opened):
    _, model = made
    for prompt in ("the cat", "", "\u05e9\u05dc \U0001f600\nthe"):
        assert write(opened, prompt) == model.generate(prompt, length=30, temperature=0.0)[0]
    state = opened.find_element("id", "state").text
    assert "tokens in" in state and "nats a token" in state
    assert console(opened) == [] and requests(opened) == []


def test_tokens_are_coloured_by_surprise_and_those_of_the_prompt_are_marked(made, opened):
    _, model = made
    write(opened, "the cat sees", length=20)
    spans = opened.execute_script(
        "return [...document.querySelectorAll('#text span')].map((s) => s.className)"
    )
    given = len(model._prompt_ids("the cat sees"))
    assert len(spans) == given + 20 and all("given" in each for each in spans[:given])
    assert not any("given" in each for each in spans[given:])
    assert {each.split()[0] for each in spans} <= {f"s{level}" for level in range(6)}
    assert len({each.split()[0] for each in spans}) > 1


def test_a_long_text_is_stopped_by_the_button_and_by_escape(opened):
    for stop in ("button", "escape"):
        fill(opened, prompt="the", length=10_000, temperature=1)
        opened.find_element("id", "write").click()
        until(opened, "return document.querySelectorAll('#text span').length > 5")
        if stop == "button":
            opened.find_element("id", "stop").click()
        else:
            opened.find_element("css selector", "body").send_keys("\ue00c")
        assert "Stopped after" in opened.find_element("id", "state").text
        time.sleep(0.3)
        stopped = opened.execute_script(COUNT)
        time.sleep(0.3)
        assert opened.execute_script(COUNT) == stopped < 10_000
    assert len(write(opened, "the cat", length=3)) > 7  # and it writes again


def test_a_token_is_chosen_by_keyboard_and_says_where_it_looked(opened):
    write(opened, "the cat sees the dog", length=10)
    field = opened.find_element("id", "text")
    field.send_keys("\ue011", *("\ue014" * 4))  # Home, four times to the right
    told = opened.find_element("id", "token").text
    assert told.startswith("Token 5, ") and "nats, probability" in told
    assert "looks most at" in told
    barred = opened.execute_script(
        "return [...document.getElementById('text').children].filter((s) => s.style.boxShadow)"
        ".length"
    )
    assert 1 <= barred <= 5
    field.send_keys("\ue010")  # End
    assert f"Token {opened.execute_script(COUNT)}," in opened.find_element("id", "token").text
    drawn = "return document.getElementById('map').toDataURL()"
    before = opened.execute_script(drawn)
    opened.execute_script(
        "const block = document.getElementById('block'); block.value = '1';"
        "block.dispatchEvent(new Event('change'))"
    )
    assert opened.execute_script(drawn) != before
    label = opened.find_element("id", "map").get_attribute("aria-label")
    assert label.startswith("Attention of the last ")


def test_what_is_out_of_bounds_is_not_written(opened):
    write(opened, "the", length=2)
    fill(opened, length=0)
    opened.find_element("id", "write").click()
    assert opened.execute_script("return document.querySelector(':invalid:not(form)').id") == (
        "length"
    )
    assert opened.execute_script(COUNT) >= 3


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_can_be_read_on_a_narrow_screen_too(made, tmp_path, dark):
    with browser(tmp_path, dark=dark, width=400) as driver:
        open_page(driver, made[0])
        write(driver, "the cat sees the dog", length=60, temperature=1)
        seen, faint = driver.execute_script(FAINT)
        assert seen > 80 and faint == []
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 400
        resize(driver, 1280)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 1280
        assert console(driver) == []


def test_the_network_is_drawn_and_every_control_has_a_name(opened):
    blocks = opened.find_elements("css selector", ".stack li")
    assert [block.text.split()[1] for block in blocks] == [
        "Attention",
        "Identity",
        "Dense",
        "Attention",
    ]
    unnamed = opened.execute_script(
        "return [...document.querySelectorAll('input, select, textarea, button')]"
        ".filter((e) => !(e.labels?.length || e.textContent.trim())).map((e) => e.id)"
    )
    assert unnamed == []
