"""Workers meet before TensorFlow starts: whoever is late, leaves again or does not belong."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from par.core.errors import ResourceError, UsageError
from par.train.distributed import rendezvous
from par.train.distributed.cluster import Cluster
from team import free_ports


@pytest.fixture
def addresses():
    return tuple(f"127.0.0.1:{port}" for port in free_ports(3))


def meeting(addresses, index, met):
    """A thread in which a worker waits for the others; it notes when it has met them."""

    def meet():
        rendezvous.meet(Cluster(addresses, index), lambda line: None, patience=20)
        met[index] = time.monotonic()

    thread = threading.Thread(target=meet)
    thread.start()
    return thread


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_nobody_goes_on_before_the_last_has_come_whatever_the_order(addresses, order):
    met, threads = {}, []
    for index in order:
        assert not met
        threads.append(meeting(addresses, index, met))
        time.sleep(0.3)
    for thread in threads:
        thread.join(20)
    assert set(met) == {0, 1, 2}
    with socket.create_server(("127.0.0.1", int(addresses[0].rpartition(":")[2]))):
        pass  # the chief's port is free at once


def test_who_leaves_again_or_does_not_belong_is_not_counted(addresses):
    met = {}
    threads = [meeting(addresses, 0, met)]
    host, _, port = addresses[0].rpartition(":")
    greetings = [
        rendezvous._greeting(Cluster(addresses, 0), 2),  # leaves again
        rendezvous._greeting(Cluster(addresses[:2], 0), 2),  # of another job
        rendezvous._greeting(Cluster(addresses, 0), 3),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 5_000,
    ]
    time.sleep(0.5)
    for greeting in greetings:
        with socket.create_connection((host, int(port))) as stranger:
            stranger.sendall(greeting)
            time.sleep(0.1)
    threads.append(meeting(addresses, 1, met))
    time.sleep(0.5)
    assert not met
    threads.append(meeting(addresses, 2, met))
    for thread in threads:
        thread.join(20)
    assert set(met) == {0, 1, 2}


@pytest.mark.parametrize(("index", "missing"), [(0, [1, 2]), (1, [0])])
def test_a_worker_that_times_out_names_the_missing_ones(addresses, index, missing, monkeypatch):
    monkeypatch.setattr(rendezvous, "TELL_EVERY", 0.3)
    told = []
    with pytest.raises(ResourceError) as raised:
        rendezvous.meet(Cluster(addresses, index), told.append, patience=1.0)
    names = ", ".join(f"worker {other} ({addresses[other]})" for other in missing)
    assert str(raised.value).startswith(f"worker {index} of 3 ({addresses[index]}) timed out")
    assert f" 1 s waiting for {names}: " in str(raised.value)
    assert told and all(line.endswith(names) for line in told)


def test_a_worker_of_another_job_is_not_counted(addresses):
    other = Cluster((addresses[0], *reversed(addresses[1:])), 1)
    assert rendezvous._greeting(other, 1) != rendezvous._greeting(Cluster(addresses, 1), 1)

    def meet_in_another_job() -> None:
        with contextlib.suppress(ResourceError):
            rendezvous.meet(other, print, patience=0.5)

    foreign = threading.Thread(target=meet_in_another_job)
    foreign.start()
    with pytest.raises(ResourceError, match=r"worker 1 .*worker 2"):
        rendezvous.meet(Cluster(addresses, 0), print, patience=1.0)
    foreign.join()


def test_a_port_in_use_is_said(addresses):
    with (
        socket.create_server(("", int(addresses[0].rpartition(":")[2]))),
        pytest.raises(UsageError, match=r"can't listen at port .* in use"),
    ):
        rendezvous.meet(Cluster(addresses, 0), print, patience=1.0)
