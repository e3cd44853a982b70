"""What other programs are set to changes nothing here."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from par.core import environment
from project import ROOT

FOREIGN = {
    "floatx": "float64",
    "backend": "torch",
    "image_data_format": "channels_first",
    "epsilon": 0.5,
}


def run(program: str, home, **variables: str) -> subprocess.CompletedProcess:
    """Runs a program with a home directory whose keras.json says everything otherwise."""
    (home / ".keras").mkdir(parents=True, exist_ok=True)
    (home / ".keras" / "keras.json").write_text(json.dumps(FOREIGN))
    inherited = {name: value for name, value in os.environ.items() if "KERAS" not in name}
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**inherited, "HOME": str(home), **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_a_network_is_made_whatever_the_user_has_set_for_keras(tmp_path):
    program = (
        "import os, par; layer = par.network('ad', 30, d_model=8, num_heads=2); import keras\n"
        "from keras.src.backend import config; c = keras.config\n"
        "print(c.backend(), c.floatx(), c.epsilon(), layer.dtype, os.environ['KERAS_BACKEND'])\n"
        "print(config.keras_home(), 'KERAS_HOME' in os.environ)"
    )
    done = run(program, tmp_path, KERAS_BACKEND="torch", KERAS_MAX_EPOCHS="foo")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "tensorflow float32 1e-07 float32 torch",
        f"{tmp_path}/.keras False",
    ]


@pytest.mark.slow
def test_keras_that_was_imported_otherwise_is_one_error(tmp_path):
    program = (
        "import keras, par\n"
        "try: par.load('run')\n"
        "except par.core.errors.UsageError as error: print(error)"
    )
    (tmp_path / "home").mkdir()
    done = run(program, tmp_path / "home", KERAS_BACKEND="tensorflow")
    assert "has imported it with tensorflow, float64" in done.stdout, done.stderr


def test_a_command_hides_settings_of_others_from_its_process(monkeypatch):
    monkeypatch.setattr(os, "environ", {"MPLBACKEND": "foo", "TQDM_NCOLS": "foo", "HOME": "/x"})
    environment.isolate()
    assert os.environ == {
        "HOME": "/x",
        "KERAS_BACKEND": "tensorflow",
        "KERAS_HOME": environment.NO_KERAS_HOME,
    }


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    "variable",
    [
        "MPLBACKEND=foo",
        "COLUMNS=foo",
        "TQDM_NCOLS=foo",
        "PYTHONOPTIMIZE=2",
        "HOME=/proc/nonexistent",
        "LC_ALL=C",
    ],
)
def test_a_picture_is_drawn_whatever_the_environment_says(variable, tmp_path):
    name, value = variable.split("=")
    done = subprocess.run(
        [
            *(sys.executable, ROOT / "tools" / "plot_network.py"),
            *("--architecture=ad", f"--output={tmp_path / 'network.png'}"),
        ],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and (tmp_path / "network.png").is_file(), done.stderr
