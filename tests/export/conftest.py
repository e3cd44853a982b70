"""The runs that the tests of exports ship."""

from __future__ import annotations

import pytest

from shipped_run import Runs


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Runs:
    """Runs of random weights on a tiny text; not to be changed."""
    return Runs(tmp_path_factory.mktemp("exports"))
