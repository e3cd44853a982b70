"""A lock is held by one, ends with its owner, and follows the file that lies at its path."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from par.core import locks

OWNER = """
import sys, time
from par.core import locks
with locks.locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_refused_while_a_process_holds_it_and_free_when_that_is_killed(tmp_path):
    path = tmp_path / "lock"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(path)], stdout=subprocess.PIPE)
    assert owner.stdout.readline() == b"held\n"
    with pytest.raises(locks.InUseError), locks.locked(path):
        pass
    owner.kill()
    owner.communicate()
    with locks.locked(path) as descriptor:
        os.write(descriptor, b"mine")
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("leave", [os.unlink, lambda path: os.rename(path, f"{path}.done")])
def test_who_waits_for_a_file_that_its_owner_moves_away_locks_the_next_one(tmp_path, leave):
    path, waits, found = tmp_path / "file", threading.Event(), []

    def wait():
        with locks.locked(path, waits.set) as descriptor:
            found.append(os.path.samestat(os.fstat(descriptor), path.stat()))
            with pytest.raises(locks.InUseError), locks.locked(path):
                pass

    with locks.locked(path):
        other = threading.Thread(target=wait)
        other.start()
        assert waits.wait(60)
        leave(path)
    other.join(60)
    assert found == [True]
