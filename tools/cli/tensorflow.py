"""TensorFlow started quietly, with deterministic ops, once it is needed."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from par.core import files, streams, watchdog
from par.core.errors import ParError, ResourceError
from par.core.machine import core_count

TEMPORARY_BYTES = 1 << 16  # far above any function that AutoGraph rewrites


def start_tensorflow(distribute: str = "none", num_devices: int = 0) -> Any:
    """Imports TensorFlow quietly, with deterministic ops and GPUs that grow their memory; returns
    the tf.distribute.Strategy (par.train.distributed.workers.strategy).

    TensorFlow writes to file descriptor 2 at import and at its first op whatever the log level
    says. If the import fails, that text is shown.
    Raises: ResourceError if no temporary file can be written; UsageError if the devices are not
    there.
    """
    check_temporary_files()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # two ops side by side, each on one core: 1.2 to 1.3 times the steps of each op on both
    if core_count() <= 2:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    with silenced_stderr() as stderr:
        with left_out("sklearn"):  # for wrappers of Keras that nothing here uses: 0.7 s, 60 MB
            import keras  # noqa: F401
            import tensorflow as tf

        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
        tf.config.experimental.enable_op_determinism()
        # it warns where one function becomes many graphs; each network needs its own
        tf.get_logger().setLevel("ERROR")
        from par.train.distributed import workers

        strategy = workers.strategy(distribute, num_devices, stderr)
        tf.constant(0.0) + 1.0
    return strategy


@contextlib.contextmanager
def left_out(package: str) -> Iterator[None]:
    """Whoever tries to import a package inside does without it, unless it is imported already."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # what the import system takes as not to be found
    try:
        yield
    finally:
        del sys.modules[package]


def check_temporary_files() -> None:
    """For late starts of TensorFlow. Raises: ResourceError if no temporary file can be written.

    AutoGraph writes the code that it makes to temporary files; where it can't, it leaves loops as
    they are, and training fails late.
    """
    try:
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(TEMPORARY_BYTES))
    except FileNotFoundError as error:  # of none of the usual directories could be written
        raise ResourceError(
            f"{error.strerror}, each must take {TEMPORARY_BYTES:,} bytes: free some disk space, or"
            " name one by TMPDIR"
        ) from None
    except OSError as error:
        raise files.write_error(
            Path(tempfile.gettempdir()) / "temporary files", TEMPORARY_BYTES, error
        ) from None


@contextlib.contextmanager
def silenced_stderr() -> Iterator[TextIO]:
    """Holds back what is written to file descriptor 2, to which C++ libraries log. Yields a stream
    that writes to the real stderr.

    If the block fails, all of the text is shown, except for an error that a user can cause
    (ParError); if this process is aborted, the end of the text is shown.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as captured, streams.lossy(saved) as seen:
        os.dup2(captured.fileno(), 2)
        try:
            with watchdog.replaying(captured, seen):
                yield seen
        except ParError:
            raise
        except Exception:
            os.dup2(saved, 2)
            captured.seek(0)
            sys.stderr.write(captured.read().decode("utf-8", "replace"))
            raise
        finally:
            os.dup2(saved, 2)
