"""The profile of a request names functions by text, which nothing else follows when they move."""

import pytest

from bench.request_profile import STAGES, find


@pytest.mark.parametrize("target", STAGES.values())
def test_every_function_that_is_timed_is_there(target):
    owner, attribute = find(target)
    assert callable(getattr(owner, attribute))


def test_one_that_moved_is_noticed():
    with pytest.raises(AttributeError):
        owner, attribute = find("common.media.images:receive")
        getattr(owner, attribute)
