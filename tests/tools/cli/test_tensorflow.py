"""How commands start TensorFlow."""

from __future__ import annotations

import subprocess
import sys

from par.tools.cli.tensorflow import left_out
from project import ROOT

PROGRAM = """
import sys
from par.tools.cli.tensorflow import start_tensorflow
start_tensorflow()
assert "keras" in sys.modules and "sklearn" not in sys.modules
import sklearn.linear_model
"""


def test_what_only_wrappers_of_keras_use_is_not_imported_and_can_be_later():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_package_that_is_imported_stays(monkeypatch):
    module = object()
    monkeypatch.setitem(sys.modules, "made_up", module)
    with left_out("made_up"):
        assert sys.modules["made_up"] is module
    assert sys.modules["made_up"] is module
