import numpy as np
import pytest

from bench.bundled_backbone.preparation import blend, views

RED, BLUE = (np.full((32, 32, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))
JOBS = [(RED, "red", 0), (RED, "red", 1), (RED, "red", 2), (BLUE, "blue", 0)]


def test_a_pictures_first_view_shows_it_as_the_product_would_and_alone():
    small, large, share = next(views(JOBS, seed=7))
    assert share == 1
    assert (small == RED[0, 0]).all()
    assert large.shape[0] == 2 * small.shape[0]


def test_every_other_view_is_a_blend_in_which_its_own_picture_counts_most():
    shares = [share for _small, _large, share in views(JOBS, seed=7)]
    assert shares[0] == shares[2] == shares[3] == 1
    assert 0.5 <= shares[1] < 1


def test_a_view_depends_on_its_place_and_the_seed_only():
    once, again, other = (list(views(JOBS, seed=seed)) for seed in (7, 7, 8))
    assert all((a[1] == b[1]).all() for a, b in zip(once, again, strict=True))
    assert once[1][2] != other[1][2]


@pytest.mark.parametrize(
    ("share", "expected"), [(1.0, [200, 0, 0]), (0.75, [150, 0, 50]), (0.5, [100, 0, 100])]
)
def test_a_blend_is_the_mean_by_their_shares(share, expected):
    assert (blend(RED, BLUE, share) == expected).all()
