"""Fixtures of the tests of faults."""

import pytest

from tests.reliability import trials
from tests.reliability.faults import Bench

trials.patience = 8.0


@pytest.fixture(scope="session")
def bench(tmp_path_factory, tiny_records) -> Bench:
    """Where tiny trainings are hurt; undisturbed ones are made once for all tests of this process."""
    return Bench(tmp_path_factory.mktemp("bench"), tiny_records)
