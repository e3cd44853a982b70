"""How fast exports continue a text, each in the runtime that its user has, beside the library."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from par.core.errors import DataError
from par.core.text import escape
from par.data.tokenizer import EOS
from par.evaluate.trained_model import Model
from par.export import chromium
from par.export.shipped import forward

LIBRARY = "library"
Writer = Callable[[int], float]  # writes so many tokens; returns the milliseconds of one
NO_BROWSER = "there is no Chromium on PATH: on Debian, apt-get install chromium"
RUNTIMES = {"onnx": "onnxruntime", "litert": "ai_edge_litert"}


def greedy(log_prob: Callable[[int], np.ndarray]) -> Writer:
    """A writer of the most probable tokens. log_prob: of what follows the next token of a text."""

    def write(tokens: int) -> float:
        token, start = EOS, time.perf_counter()
        for _ in range(tokens):
            token = int(np.argmax(log_prob(token)))
        return 1e3 * (time.perf_counter() - start) / tokens

    return write


def writers(
    model: Model, exports: Mapping[str, Path], held: contextlib.ExitStack
) -> tuple[dict[str, Writer], dict[str, str]]:
    """The writers by the name of the format, the library's first; and why others are left out.

    exports: the directories by format. held: what is open until all is measured.
    """
    made, left_out = {LIBRARY: greedy(_library(model))}, {}
    for name, directory in exports.items():
        runtime = RUNTIMES.get(name)
        if runtime and importlib.util.find_spec(runtime) is None:
            left_out[name] = f'{runtime} is missing: pip install "par-transformer-xl[{name}]"'
        elif name != "page":
            made[name] = greedy(STEPS[name](directory))
        elif program := chromium.found():
            page = held.enter_context(chromium.opened(program, directory / "index.html"))
            made[name] = _page(page)
        else:
            left_out[name] = NO_BROWSER
    return made, left_out


def _library(model: Model) -> Callable[[int], np.ndarray]:
    decoder = model.decoder()
    graph = tf.function(decoder.log_prob, autograph=False)
    memories = decoder.empty_memories()

    def log_prob(token: int) -> np.ndarray:
        nonlocal memories
        found, memories = graph(tf.constant([token]), memories)
        return found.numpy()[0]

    return log_prob


def _saved_model(directory: Path) -> Callable[[int], np.ndarray]:
    import tensorflow_text  # noqa: F401  the operations of the tokenizer

    step = tf.saved_model.load(str(directory)).signatures["step"]
    shapes = step.structured_input_signature[1]
    size = [1 if each is None else each for each in shapes["hidden"].shape]
    memories = {"hidden": tf.zeros(size), "valid": tf.zeros([1], tf.int32)}

    def log_prob(token: int) -> np.ndarray:
        nonlocal memories
        made = step(tokens=tf.constant([token]), **memories)
        memories = {name: made[name] for name in memories}
        return made["log_prob"].numpy()[0]

    log_prob.held = step  # else the graph would go with the loaded object
    return log_prob


def _onnx(directory: Path) -> Callable[[int], np.ndarray]:
    from par.export.shipped import onnx_step

    return onnx_step.Step(directory)


def _litert(directory: Path) -> Callable[[int], np.ndarray]:
    from par.export.shipped import litert_step

    return litert_step.Step(directory)


def _numpy(directory: Path) -> Callable[[int], np.ndarray]:
    network = forward.Network.read(directory)
    # a token by itself sees as far back as the last one of a window
    memories = network.empty(1, network.config["mem_len"] + network.config["seq_len"] - 1)

    def log_prob(token: int) -> np.ndarray:
        nonlocal memories
        states, memories = network(np.array([[token]]), memories, band=True)
        return network.log_prob(states[0, 0])

    return log_prob


STEPS: dict[str, Callable[[Path], Any]] = {
    "savedmodel": _saved_model,
    "safetensors": _numpy,
    "onnx": _onnx,
    "litert": _litert,
}


def _page(page: chromium.Page) -> Writer:
    """What the page says of its own speed."""
    page.until("document.getElementById('write')?.disabled === false")
    state = "document.getElementById('state').textContent"

    def write(tokens: int) -> float:
        fields = {"prompt": "", "length": tokens, "temperature": 0}
        for name, value in fields.items():
            page.value(f"document.getElementById('{name}').value = {value!r}")
        page.value(f"{state} = ''; document.getElementById('write').click()")
        told = page.until(f"/ a second|failed/.test({state}) && {state}")
        speed = re.search(r"(\d+) a second", told)
        if not speed or not int(speed[1]):
            raise DataError(f"the page can't be timed, it says: {escape(told[:200])}")
        return 1e3 / int(speed[1])

    return write
