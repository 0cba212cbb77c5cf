"""Members of projects and private projects: what the access matrix says of them on every page."""

import re

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import reverse

from accounts.tests.factories import make_maintainer, make_reviewer, make_token, make_user
from classifr.project_scope import LISTS, OBJECTS
from classifr.tests.access_matrix import ROWS, Row
from classifr.tests.access_world import World, make_world
from classifr.tests.test_access import everything
from common.errors import Conflict, InvalidInput
from customvision.importer import project_mapping
from customvision.importer.service import RemoteProject
from customvision.tests.factories import make_imported
from notifications.models import Kind, Notification
from notifications.notifying import notify
from predictions import members, project_access
from predictions.models import Project, ProjectMembership
from predictions.tests.factories import make_live_model, make_prediction, make_project, make_upload
from review.models import Decision
from training.runs import notices
from training.tests.factories import make_run

pytestmark = pytest.mark.django_db

# Of a person or of background work: no project is behind these
OF_NO_PROJECT = {
    "accounts:change_role",
    "accounts:deactivate",
    "accounts:reactivate",
    "accounts:resend_invitation",
    "accounts:revoke_invitation",
    "background_again",
    "importer:choose_projects",
}


def make_private(project: Project) -> None:
    Project.objects.filter(pk=project.pk).update(is_private=True)
    project.refresh_from_db()


def join(project: Project, user, role: str) -> None:
    ProjectMembership.objects.create(project=project, user=user, role=role)


def hide_world(world: World) -> None:
    """Make everything of the world private: two projects have it."""
    Project.objects.update(is_private=True)


def ask(client: Client, name: str, row: Row, world: World) -> int:
    cache.clear()
    address = reverse(name, kwargs=row.kwargs(world))
    before = transaction.savepoint()
    if row.method == "GET":
        response = client.get(address)
    elif row.is_json:
        response = client.post(address, row.data(world), content_type="application/json")
    else:
        response = client.post(address, row.data(world))
    transaction.savepoint_rollback(before)
    return response.status_code


def project_rows(world: World) -> list[tuple[str, Row]]:
    return [
        (name, row)
        for name, rows in ROWS.items()
        for row in rows
        if "slug" in row.kwargs(world) or name in OBJECTS or name.startswith("api:")
        if row.kwargs(world)
    ]


def login(user) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def test_no_address_forgets_its_project():
    world, forgotten = make_world(), []
    for name, pattern in everything():
        kinds = re.findall(r"<(?:\w+:)?(\w+)>", str(pattern.pattern))
        named = {"pk", "uuid"} & set(kinds) and "slug" not in kwargs_of(name, world)
        ours = not name.startswith(("admin:", "api:", "mfa_", "account_", "socialaccount_"))
        if name and named and ours and name not in OBJECTS and name not in OF_NO_PROJECT:
            forgotten.append(name)
    assert not forgotten, "name their models in classifr/project_scope.py"
    assert set(OBJECTS) | set(LISTS) <= set(ROWS)


def kwargs_of(name: str, world: World) -> dict:
    return ROWS[name][0].kwargs(world) if name in ROWS else {}


@pytest.mark.parametrize("role", ["user", "reviewer", "maintainer"])
def test_a_private_project_is_not_there_for_members_of_another(role):
    world = make_world()
    hide_world(world)
    another = make_project("Another", slug="another")
    make_private(another)
    person = getattr(world, role)
    join(another, person, "maintainer")
    client = login(person)
    found = {
        f"{row.method} {name}": status
        for name, row in project_rows(world)
        if (status := ask(client, name, row, world)) != 404
    }
    assert found == {}


def test_a_viewer_looks_and_changes_nothing():
    world = make_world()
    hide_world(world)
    viewer = make_user("viewer")
    for project in Project.objects.all():
        join(project, viewer, "viewer")
    client = login(viewer)
    may = {
        f"{row.method} {name}"
        for name, row in project_rows(world)
        if ask(client, name, row, world) not in (403, 404)
    }
    assert may == {
        "GET overview",
        "GET samples",
        "GET sample_count",
        "GET sample_view_counts",
        "GET project_card",
        "GET sample_heat",
        "GET gallery_sample",
        "GET predictions:picture",
        "GET predictions:thumbnail",
        "GET training:models",
        "GET training:run",
        "GET training:run_progress",
    }


def test_a_membership_raises_and_never_lowers():
    project = make_project("Dishes", slug="dishes")
    make_live_model(project)
    raised, kept = make_user(), make_maintainer()
    join(project, raised, "reviewer")
    join(project, kept, "viewer")
    assert login(raised).get(reverse("samples", args=["dishes"])).status_code == 200
    assert login(raised).get(reverse("review:queue")).status_code == 200
    assert login(raised).get(reverse("training:options", args=["dishes"])).status_code == 403
    assert login(kept).get(reverse("training:options", args=["dishes"])).status_code == 200
    # In this project alone
    make_project("Another", slug="another")
    assert login(raised).get(reverse("samples", args=["another"])).status_code == 403


def test_lists_leave_out_what_is_hidden():
    project = make_project("Secret", slug="secret")
    version = make_live_model(project)
    reviewer = make_reviewer()
    prediction = make_prediction(reviewer, model_version=version)
    Decision.objects.create(
        sample=prediction.sample, prediction=prediction, reviewer=reviewer, outcome="discarded"
    )
    maintainer = make_maintainer()
    make_imported(project)
    pages = ["home", "predictions:history", "review:queue", "review:alike", "review:history"]
    for_maintainers = ["training:overview", "importer:import_start", "api:projects"]
    seen = [
        name
        for user, names in ((reviewer, [*pages, "api:predictions"]), (maintainer, for_maintainers))
        for name in names
        if b"secret" in login(user).get(reverse(name)).content
    ]
    assert "home" in seen and "api:projects" in seen
    make_private(project)
    for user, names in ((reviewer, [*pages, "api:predictions"]), (maintainer, for_maintainers)):
        for name in names:
            response = login(user).get(reverse(name))
            assert response.status_code == 200, name
            assert b"secret" not in response.content.lower(), name
    filtered = login(reviewer).get(reverse("review:queue"), {"project": "secret"})
    assert filtered.status_code == 400


class TestPrograms:
    def test_a_token_sees_what_its_owner_sees(self):
        project = make_project("Secret", slug="secret")
        make_live_model(project)
        make_private(project)
        stranger, member = make_maintainer(), make_user()
        join(project, member, "user")
        address = reverse("api:predict", args=["secret"])
        for user, status in ((stranger, 404), (member, 200)):
            header = {"Authorization": f"Token {make_token(user)}"}
            response = Client().post(address, {"file": make_upload()}, headers=header)
            assert response.status_code == status
        ProjectMembership.objects.update(role="viewer")
        response = Client().post(address, {"file": make_upload()}, headers=header)
        assert response.status_code == 403

    def test_a_key_of_custom_vision_does_as_well(self):
        project = make_project("Secret", slug="secret")
        make_private(project)
        stranger, member = make_maintainer(), make_user()
        join(project, member, "maintainer")
        address = f"/customvision/v3.3/training/projects/{project.uuid}/tags"
        for user, status in ((stranger, 404), (member, 200)):
            response = Client().get(address, headers={"Training-Key": make_token(user)})
            assert response.status_code == status, response.content
        listed = Client().get(
            "/customvision/v3.3/training/projects",
            headers={"Training-Key": make_token(stranger, "other")},
        )
        assert listed.json() == []
        listed = Client().get(
            "/customvision/v3.3/training/projects",
            headers={"Training-Key": make_token(member, "other")},
        )
        assert [each["name"] for each in listed.json()] == ["Secret"]

    def test_a_public_project_costs_no_query(self, django_assert_num_queries):
        project, user = make_project(), make_user()
        user.get_all_permissions()
        with django_assert_num_queries(0):
            assert project_access.may(user, "predictions.add_prediction", project)


class TestMembersPage:
    @pytest.fixture
    def project(self) -> Project:
        return make_project("Dishes", slug="dishes")

    def test_making_it_private_keeps_whoever_does_it(self, project):
        client = login(make_maintainer())
        client.post(reverse("training:privacy", args=["dishes"]), {"private": "1"})
        assert client.get(reverse("training:members", args=["dishes"])).status_code == 200
        assert login(make_maintainer()).get("/training/dishes/members/").status_code == 404

    def test_somebody_is_added_by_address_once(self, project):
        client, new = login(make_maintainer()), make_user("new")
        address = reverse("training:add_member", args=["dishes"])
        sent = {"login": " New@Example.com", "role": "reviewer"}
        assert client.post(address, sent).status_code == 302
        assert new.project_memberships.get().role == "reviewer"
        assert client.post(address, sent).status_code == 409
        assert client.post(address, {"login": "nobody", "role": "user"}).status_code == 400
        assert client.post(address, {"login": "new", "role": "king"}).status_code == 400

    def test_the_last_maintainer_stays(self, project):
        owner = make_maintainer()
        members.make_private(project, by=owner)
        member = owner.project_memberships.get()
        with pytest.raises(Conflict):
            members.remove_member(member)
        with pytest.raises(Conflict):
            members.change_role(member, "viewer")
        members.add_member(project, make_user("second").username, "maintainer")
        members.remove_member(member)
        assert project.memberships.get().user.username == "second"


class TestNotifications:
    def test_a_run_of_a_private_project_is_told_to_its_maintainers_alone(self):
        run, member = make_run(trigger="labels"), make_user("lead")
        make_maintainer("site")
        join(run.project, member, "maintainer")
        join(run.project, make_user("looks on"), "viewer")
        make_private(run.project)
        notices.announce(run)
        assert [each.user for each in Notification.objects.all()] == [member]

    def test_one_of_a_project_that_became_private_is_there_for_its_members_alone(self):
        project, told, member = make_project(), make_user("told"), make_user("member")
        join(project, member, "viewer")
        notify([told, member], Kind.NOK_ANSWERED, "nok_answered", key="n", url="/", project=project)
        assert Notification.objects.visible_to(told).exists()
        make_private(project)
        assert not Notification.objects.visible_to(told).exists()
        assert Notification.objects.visible_to(member).exists()


def test_nobody_imports_into_a_project_that_they_may_not_see():
    project, maintainer = make_project("Secret", slug="secret"), make_maintainer()
    imported = make_imported(project)
    remote = RemoteProject(imported.remote_id, "Secret", "", "Multiclass", is_detection=False)
    project_mapping.map_project(remote, endpoint=imported.endpoint, by=maintainer)
    make_private(project)
    with pytest.raises(InvalidInput):
        project_mapping.map_project(remote, endpoint=imported.endpoint, by=maintainer)
