"""In which order pictures are worth a label."""

import numpy as np
import pytest

from training.pool import ranking


def blobs(*sizes: int, spread: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors around as many directions as there are sizes, and of which each is."""
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.arange(len(sizes)), sizes)
    centres = np.eye(8, dtype=np.float32)[: len(sizes)]
    return ranking.unit_rows(centres[kinds] + spread * rng.normal(size=(len(kinds), 8))), kinds


def test_every_group_is_proposed_before_any_twice():
    vectors, kinds = blobs(30, 20, 15, 10)
    none = np.zeros(len(vectors), dtype=bool)
    first = ranking.typical_first(vectors, none, 4, np.random.default_rng(1))
    assert set(kinds[first]) == {0, 1, 2, 3}


def test_groups_without_a_label_come_first():
    vectors, kinds = blobs(30, 30, 30)
    labelled = kinds != 2
    chosen = ranking.typical_first(vectors, labelled, 3, np.random.default_rng(1))
    assert set(kinds[chosen]) == {2}


def test_what_is_typical_comes_before_what_is_odd():
    vectors, _kinds = blobs(20)
    odd = ranking.unit_rows(vectors[:1] + 0.5 * np.eye(8, dtype=np.float32)[3:4])
    rows = ranking.typical_first(
        np.concatenate([odd, vectors]), np.zeros(21, dtype=bool), 21, np.random.default_rng(1)
    )
    assert len(set(rows)) == 21 and rows[0] != 0


@pytest.mark.parametrize("count", [0, 5])
def test_nothing_without_a_label_gives_nothing(count):
    vectors, _kinds = blobs(5)
    assert ranking.typical_first(vectors, np.ones(5, bool), count, np.random.default_rng(1)) == []


def test_the_same_picture_many_times_is_no_trouble():
    vectors = np.tile(np.eye(8, dtype=np.float32)[:1], (12, 1))
    rows = ranking.typical_first(vectors, np.zeros(12, bool), 12, np.random.default_rng(1))
    assert sorted(rows) == list(range(12))


def test_the_same_pool_is_ranked_the_same():
    vectors, _kinds = blobs(12, 9)
    none = np.zeros(21, dtype=bool)
    first, again = (
        ranking.typical_first(vectors, none, 9, np.random.default_rng(3)) for _ in range(2)
    )
    assert first == again


def test_margin_and_entropy_tell_the_unsure_from_the_sure():
    scores = np.array([[0.98, 0.01, 0.01], [0.5, 0.49, 0.01]])
    assert np.allclose(ranking.margins(scores), [0.97, 0.01])
    sure, unsure = ranking.entropies(scores)
    assert sure < unsure


def test_a_typical_and_an_uncertain_one_take_turns():
    vectors, kinds = blobs(10, 10)
    none = np.zeros(20, dtype=bool)
    margin_of = np.ones(20)
    margin_of[[3, 13]] = 0.1, 0.2
    rows = ranking.most_instructive_first(vectors, none, margin_of, 4, np.random.default_rng(1))
    assert rows[1] == 3 and 13 in rows and len(set(rows)) == 4
    assert set(kinds[rows]) == {0, 1}


def test_without_a_model_all_are_typical():
    vectors, _kinds = blobs(10, 10)
    none = np.zeros(20, dtype=bool)
    assert ranking.most_instructive_first(
        vectors, none, None, 6, np.random.default_rng(1)
    ) == ranking.typical_first(vectors, none, 6, np.random.default_rng(1))


def test_what_no_model_could_see_is_proposed_all_the_same_and_nothing_twice():
    vectors, _kinds = blobs(6, 6)
    margin_of = np.full(12, np.nan)
    margin_of[:4] = 0.5
    labelled = np.arange(12) < 2
    rows = ranking.most_instructive_first(
        vectors, labelled, margin_of, 50, np.random.default_rng(1)
    )
    assert sorted(rows) == list(range(2, 12))
