import pytest
from django.core.checks import run_checks


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("REVIEW_LOW_CONFIDENCE", 50, "review.E001"),
        ("REVIEW_AUDIT_PERCENT", 101, "review.E002"),
        ("REVIEW_RECENT", 0, "review.E003"),
        ("REVIEW_LEASE_SECONDS", 5, "review.E004"),
    ],
)
def test_a_wrong_setting_is_explained(settings, name, value, error):
    setattr(settings, name, value)
    assert error in [message.id for message in run_checks()]


def test_the_defaults_are_right():
    assert not [message for message in run_checks() if (message.id or "").startswith("review.")]
