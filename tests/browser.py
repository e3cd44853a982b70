"""A real browser for the tests that look at pages: headless Chromium, driven by its own
chromedriver; nothing is ever downloaded."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "chromedriver": ("chromedriver",),
}
FLAGS = (
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    ),
    *(
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
    ),
)
MARGIN = 12  # CSS pixels around a part of a page
# A browser tells of itself in requests of these, too; they leave no machine.
WITHIN = (
    "file:",
    "data:",
    "blob:",
    "about:",
    "chrome:",
    "chrome-untrusted:",
    "chrome-extension:",
    "devtools:",
)

# Every text's colour beside what is painted below it; [text, contrast] of what is less than 4.5.
FAINT = """
const channels = (colour) => {
  const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
  return {rgb: [r, g, b], a};
};
const luminance = (rgb) => rgb.map((c) => c / 255)
  .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
function ground(element) {
  for (let e = element; e; e = e.parentElement) {
    const {rgb, a} = channels(getComputedStyle(e).backgroundColor);
    if (a === 1) return rgb;
    if (a !== 0) throw new Error(`half transparent: ${e.outerHTML.slice(0, 80)}`);
  }
  return [255, 255, 255];
}
const faint = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let seen = 0;
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
  seen += 1;
  const text = channels(getComputedStyle(element).color).rgb;
  const lights = [luminance(text), luminance(ground(element))].sort((x, y) => y - x);
  const contrast = (lights[0] + 0.05) / (lights[1] + 0.05);
  if (contrast < 4.5) faint.push([walker.currentNode.data.trim().slice(0, 40), contrast]);
}
return [seen, faint];
"""


def found(name: str) -> str | None:
    """The path of one of PROGRAMS."""
    return next(filter(None, map(shutil.which, PROGRAMS[name])), None)


def why_no_browser() -> str:
    """The reason why no page can be opened here, '' if one can."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed: pip install -e '.[test]'"
    missing = [name for name in PROGRAMS if not found(name)]
    return (
        f"{' and '.join(missing)} not found on PATH: on Debian, apt-get install chromium"
        " chromium-driver"
        if missing
        else ""
    )


@contextlib.contextmanager
def browser(
    folder: Path, dark: bool = False, width: int = 1280, reduced_motion: bool = False
) -> Iterator[Any]:
    """A browser (selenium's WebDriver) with a profile of its own in `folder`, and what its user
    prefers; the test is skipped where there is none.

    width: of the window, in CSS pixels. Its console and its requests are kept for `console` and
    `requests`.
    """
    if reason := why_no_browser():
        pytest.skip(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = found("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tempfile.mkdtemp(dir=folder)}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(found("chromedriver")))
    try:
        driver.set_page_load_timeout(60)
        resize(driver, width)
        features = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce" if reduced_motion else "no-preference",
        }
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": name, "value": value} for name, value in features.items()]},
        )
        yield driver
    finally:
        driver.quit()


def resize(driver: Any, width: int, height: int = 900) -> None:
    """The page is laid out in so many CSS pixels: a window can't be as narrow as a telephone."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )


def console(driver: Any) -> list[str]:
    """What the page, or the browser about the page, has written to the console since the last
    time."""
    return [f"{entry['level']}: {entry['message']}" for entry in driver.get_log("browser")]


def requests(driver: Any) -> list[str]:
    """Addresses that were asked for since the last time, but for the machine's own files, the page
    itself, and what its policy (CSP) kept back."""
    events: dict[str, list[dict[str, Any]]] = {}
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        events.setdefault(message["method"], []).append(message["params"])
    kept_back = {
        event["requestId"]
        for event in events.get("Network.loadingFailed", [])
        if event.get("blockedReason") == "csp"
    }
    asked = [
        event["request"]["url"]
        for event in events.get("Network.requestWillBeSent", [])
        if event["requestId"] not in kept_back
    ]
    return [url for url in asked if not url.startswith(WITHIN)]


def screenshot(
    driver: Any, path: Path, whole: bool = False, part: tuple[str, str] | None = None
) -> None:
    """Writes what is seen as PNG, or the whole page, or of that, in all its width, the part from
    one element to another, by their selectors."""
    how: dict[str, Any] = {"format": "png", "captureBeyondViewport": whole or bool(part)}
    if part:
        places = "return [...arguments].map((e) => document.querySelector(e))"
        first, last = driver.execute_script(places, *part)
        top = first.rect["y"] - MARGIN
        how["clip"] = {
            "x": 0,
            "y": top,
            "width": driver.execute_script("return document.documentElement.clientWidth"),
            "height": last.rect["y"] + last.rect["height"] + MARGIN - top,
            "scale": 1,
        }
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", how)
    path.write_bytes(base64.b64decode(shot["data"]))


def printed(driver: Any) -> bytes:
    """The page as PDF, on A4."""
    made = driver.execute_cdp_cmd(
        "Page.printToPDF", {"printBackground": False, "paperWidth": 8.27, "paperHeight": 11.69}
    )
    return base64.b64decode(made["data"])


# python tests/browser.py PAGE.html PICTURE.png: what a reader sees first, for docs/
if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary, browser(Path(temporary)) as reader:
        resize(reader, 1000, 1220)
        reader.get(Path(sys.argv[1]).resolve().as_uri())
        screenshot(reader, Path(sys.argv[2]))
