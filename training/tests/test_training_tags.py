from django.utils import translation

from training.templatetags.training_tags import between, share, two_places


def test_what_is_undefined_is_a_dash():
    assert [share(None), between(None)] == ["–", "–"]


def test_numbers_follow_the_language():
    assert (between((0.6097, 1.0)), two_places(0.62)) == ("61.0% to 100.0%", "0.62")
    with translation.override("fr"):
        assert two_places(0.62) == "0,62"
