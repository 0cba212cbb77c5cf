"""The simulation of the gate counts what it says."""

import numpy as np

from bench import gate
from bench.gate import VersionPair


def test_a_clearly_better_candidate_is_promoted_and_a_clearly_worse_one_refused():
    labels = np.arange(200) % 4
    none, all_right = np.zeros(200, bool), np.ones(200, bool)
    assert gate.simulate([VersionPair(none, all_right)], labels, 50) == [100, 0, 0, 100]
    assert gate.simulate([VersionPair(all_right, none)], labels, 50) == [0, 100, 0, 0]


def test_what_a_candidate_gains_is_counted_in_points():
    live, candidate = np.array([True, False, False, False]), np.array([True, True, False, False])
    assert VersionPair(live, candidate).gain == 25
