"""Memberships that groups of a directory give."""

import json

import pytest

from accounts import directory_groups
from accounts.tests.factories import make_user
from predictions import members
from predictions.tests.factories import make_project

pytestmark = pytest.mark.django_db


def test_a_membership_by_a_group_ends_with_it(settings):
    settings.OIDC_GROUPS = '{"guests": {"projects": {"dishes": "viewer", "gone": "user"}}}'
    user, project = make_user(), make_project("Dishes", slug="dishes")
    directory_groups.apply_groups(user, {"groups": ["guests"]})
    assert user.project_memberships.get().role == "viewer"
    directory_groups.apply_groups(user, {"groups": []})
    assert not project.memberships.exists()


@pytest.mark.parametrize("role", ["viewer", "maintainer"])
def test_one_that_a_person_gave_stays(role, settings):
    settings.OIDC_GROUPS = json.dumps({"guests": {"projects": {"dishes": role}}})
    user, project = make_user(), make_project("Dishes", slug="dishes")
    members.add_member(project, user.username, "reviewer")
    for groups in (["guests"], []):
        directory_groups.apply_groups(user, {"groups": groups})
        assert user.project_memberships.get().role == "reviewer"
