"""Promise 21: a web process that ends under load damages nothing; 200 rounds of it by hand."""

import pytest

from classifr.tests.faults.ending_under_load import EndingUnderLoad
from classifr.tests.faults.installation import Installation

pytestmark = pytest.mark.outer


def test_nothing_is_damaged_or_lost(install):
    installation: Installation = install(WEB_CONCURRENCY="1")
    ending = EndingUnderLoad(installation)
    for _round in range(3):
        ending.do_round()
    assert ending.ledger.wrong == []
    assert ending.ledger.noks, "some were acknowledged"
    assert ending.ledger.counts["cut off"], "some requests outlasted the process"
