"""What groups of a directory give at a log-in."""

import pytest
from django.core.checks import run_checks

from accounts import directory_groups, roles
from accounts.roles import Role
from accounts.tests.factories import make_user

pytestmark = pytest.mark.django_db
MAPPING = """{"team": {"role": "reviewer"}, "leads": {"role": "maintainer"},
    "guests": {"projects": {"dishes": "viewer"}}}"""


@pytest.fixture(autouse=True)
def mapping(settings):
    settings.OIDC_GROUPS = MAPPING


def test_the_highest_role_counts():
    user = make_user()
    directory_groups.apply_groups(user, {"userinfo": {"groups": ["leads", "team", 7]}})
    assert roles.role_of(user) == Role.MAINTAINER


@pytest.mark.parametrize("claims", [{}, None, {"groups": "leads"}, {"groups": ["guests"]}])
def test_a_role_stays_where_no_group_gives_one(claims):
    user = make_user()
    directory_groups.apply_groups(user, claims)
    assert roles.role_of(user) == Role.USER


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"a": 1}', '{"a": {"role": "king"}}', '{"a": {"projects": {"b": ["c"]}}}']
)
def test_a_check_names_what_cannot_be_read(settings, text):
    assert "accounts.E004" not in [message.id for message in run_checks()]
    settings.OIDC_GROUPS = text
    assert "accounts.E004" in [message.id for message in run_checks()]
