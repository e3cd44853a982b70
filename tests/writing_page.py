"""The page of an export in a real browser: how a test, or the picture in the README, writes with
it."""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from browser import browser, console, requests, resize, screenshot

COUNT = "return document.querySelectorAll('#text span').length"


def open_page(driver: Any, page: Path) -> Any:
    """Opens it, and waits until the network is ready."""
    console(driver), requests(driver)
    driver.get(page.resolve().as_uri())
    until(driver, "return !document.getElementById('write').disabled")
    return driver


def until(driver: Any, script: str, seconds: float = 60) -> Any:
    """Waits for a value of a script that counts as true; returns it."""
    end = time.monotonic() + seconds
    while not (value := driver.execute_script(script)):
        assert time.monotonic() < end, (script, console(driver))
        time.sleep(0.05)
    return value


def fill(driver: Any, **values: object) -> None:
    """Sets fields of the form."""
    for name, value in values.items():
        driver.execute_script(
            "document.getElementById(arguments[0]).value = arguments[1]",
            name.replace("_", "-"),
            str(value),
        )


def write(driver: Any, prompt: str, **settings: object) -> str:
    """Has it continue a prompt, by default greedily by 30 tokens; returns the text."""
    fill(driver, prompt=prompt, **{"length": 30, "temperature": 0, "top_p": 1} | settings)
    driver.find_element("id", "write").click()
    until(
        driver, "return / in .* s, .* a second/.test(document.getElementById('state').textContent)"
    )
    return driver.execute_script("return document.getElementById('text').textContent")


def draw(page: Path, picture: Path, prompt: str) -> None:
    """Writes a PNG of a text that the page wrote, of which one token is chosen."""
    with tempfile.TemporaryDirectory() as temporary, browser(Path(temporary)) as driver:
        resize(driver, 720, 860)
        open_page(driver, page)
        write(driver, prompt, length=110, temperature=0.7, top_p=0.9, seed=1)
        driver.find_element("id", "text").send_keys("\ue011", *("\ue014" * 40))
        screenshot(driver, picture, part=("#text", ".ramp"))
    with Image.open(picture) as shot:  # few colours, fewer bytes
        small = io.BytesIO()
        shot.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(
            small, "PNG", optimize=True
        )
    picture.write_bytes(small.getvalue())


# python tests/writing_page.py PAGE.html PICTURE.png PROMPT: for the README
if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
