"""Each set-up of the chaos driver, for one fault: what two hundred of them showed stays so.

`python -m classifr.tests.faults.chaos` does many, and tells figures.
"""

import os

import pytest

from classifr.tests.faults.chaos import SET_UPS

pytestmark = pytest.mark.outer


@pytest.mark.parametrize("name", SET_UPS)
def test_nothing_is_lost_doubled_or_stuck(name, tmp_path, static_files):
    if name == "disk" and os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    setup = SET_UPS[name](tmp_path, seed=1)
    setup.go_through(1)
    assert setup.ledger.is_clean, setup.ledger
    assert setup.ledger.predictions
