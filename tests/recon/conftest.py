"""Fixtures of the tests of whole scans."""

import pytest

from snraware_jax.formats.scan import RawScan
from snraware_jax.recon import chain
from tests.recon.phantom import make_scan


@pytest.fixture(scope="module")
def scan() -> RawScan:
    """A small scan at R = 2."""
    return make_scan(acceleration=2)


@pytest.fixture(scope="module")
def plan(scan) -> chain.Plan:
    """Its calibration."""
    return chain.calibrate(scan, (2, 3, 4))
