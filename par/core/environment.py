"""Settings of other programs, in the environment and in files, that must not change this one."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from par.core.errors import UsageError

# Where Keras finds no settings file of the user's, and writes none.
NO_KERAS_HOME = os.devnull
# Each of them would change figures, or end the import of a library if it is not well-formed.
FOREIGN = (
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
    "MATPLOTLIBRC",
    "MPLBACKEND",
    "TF_USE_LEGACY_KERAS",
)


def isolate() -> None:
    """Hides the user's settings of other programs from this process, and from those that it
    starts: for a command, whose process is its own."""
    if not re.fullmatch(r"[\d, ]*", os.environ.get("OMP_NUM_THREADS", "")):
        del os.environ["OMP_NUM_THREADS"]  # libgomp would say on stderr that it ignores it
    for name in [*FOREIGN, *(name for name in os.environ if name.startswith("TQDM_"))]:
        os.environ.pop(name, None)
    os.environ |= {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": NO_KERAS_HOME}


def import_keras() -> Any:
    """Keras on TensorFlow, with float32 as it is installed, whatever the user's keras.json and the
    environment say.

    Raises: UsageError if the process has imported Keras before, with other settings.
    """
    if "keras" in sys.modules:
        import keras
    else:
        before = {name: value for name, value in os.environ.items() if name.startswith("KERAS_")}
        for name in before:
            del os.environ[name]
        os.environ |= {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": NO_KERAS_HOME}
        try:
            import keras
            from keras.src.backend import config
        finally:
            del os.environ["KERAS_BACKEND"], os.environ["KERAS_HOME"]
            os.environ |= before
        # a program that uses Keras, too, finds its data sets
        config._KERAS_DIR = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    found = (keras.config.backend(), keras.config.floatx(), keras.config.dtype_policy().name)
    if found != ("tensorflow", "float32", "float32"):
        raise UsageError(
            "Keras must be imported with the backend tensorflow and the float type float32, but"
            f" this process has imported it with {found[0]}, {found[1]} and the policy"
            f" {found[2]}: set KERAS_BACKEND=tensorflow and leave the others at their defaults"
        )
    return keras
