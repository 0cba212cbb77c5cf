"""The pages of a project's settings: categories in order, merged and deleted; the project's end."""

import pytest
from django.urls import reverse

from accounts.tests.factories import make_maintainer, make_reviewer, make_token
from predictions.models import Project, Sample
from predictions.tests.factories import make_live_model, make_project, make_sample, make_upload
from review import decisions

pytestmark = pytest.mark.django_db


@pytest.fixture
def maintainer(client):
    user = make_maintainer()
    client.force_login(user)
    return user


@pytest.fixture
def project():
    return make_project("Dishes", categories=["gnocchi", "pizza", "risotto"])


def post(client, view, of, **data):
    return client.post(reverse(f"training:{view}", args=[of]), data)


def names(project):
    return [each.name for each in project.categories.all()]


def test_several_categories_are_added_one_on_each_line(client, maintainer, project):
    post(client, "categories", project.slug, name="tiramisu\n\n pizza \nespresso")
    assert sorted(names(project)) == ["espresso", "gnocchi", "pizza", "risotto", "tiramisu"]


def test_pictures_with_several_names_are_refused(client, maintainer, project):
    data = {"name": "a\nb", "pictures": make_upload()}
    response = post(client, "categories", project.slug, **data)
    assert response.status_code == 400 and "belong to one category" in response.content.decode()
    assert len(names(project)) == 3 and not Sample.objects.exists()


def test_a_line_that_is_no_name_is_refused_and_none_is_added(client, maintainer, project):
    response = post(client, "categories", project.slug, name="good\n" + "x" * 101)
    assert response.status_code == 400 and len(names(project)) == 3


def test_a_category_is_moved_without_a_script(client, maintainer, project):
    pizza = project.categories.get(name="pizza")
    response = post(client, "move", pizza.pk, to="up")
    assert names(project) == ["pizza", "gnocchi", "risotto"]
    assert response.url.endswith(f"?page=1&moved=up-{pizza.pk}")
    post(client, "move", pizza.pk, to="down")
    assert names(project) == ["gnocchi", "pizza", "risotto"]


def test_a_category_is_merged_into_the_one_that_is_named(client, maintainer, project):
    sample = make_sample(project)
    gnocchi, pizza = project.categories.get(name="gnocchi"), project.categories.get(name="pizza")
    decisions.label_sample(sample, gnocchi, by=maintainer)
    post(client, "merge", gnocchi.pk, into="Pizza")
    assert decisions.latest_decision(sample).category == pizza
    assert names(project) == ["pizza", "risotto"]


def test_a_category_is_not_merged_into_one_that_is_not_there(client, maintainer, project):
    response = post(client, "merge", project.categories.get(name="gnocchi").pk, into="x\0")
    assert response.status_code == 400 and len(names(project)) == 3


def test_a_category_is_deleted(client, maintainer, project):
    pizza = project.categories.get(name="pizza")
    post(client, "delete_category", pizza.pk)
    assert names(project) == ["gnocchi", "risotto"]
    assert post(client, "delete_category", pizza.pk).status_code == 404


@pytest.mark.parametrize("view", ["move", "merge", "delete_category"])
def test_a_reviewer_changes_no_category(client, project, view):
    client.force_login(make_reviewer())
    assert post(client, view, project.categories.first().pk).status_code == 403
    assert len(names(project)) == 3


def test_a_project_is_deleted_when_its_name_is_typed(client, maintainer, project):
    make_live_model(project)
    response = post(client, "delete_project", project.slug, name="Dishes")
    assert response.url == reverse("home") and not Project.objects.exists()


def test_another_name_deletes_nothing_and_the_field_keeps_it(client, maintainer, project):
    response = post(client, "delete_project", project.slug, name="Dish")
    page = response.content.decode()
    assert response.status_code == 400 and 'value="Dish"' in page and "nothing was deleted" in page
    assert Project.objects.exists()


def test_an_archived_project_says_so_and_its_upload_is_refused_by_page_and_api(
    client, maintainer, project
):
    make_live_model(project)
    post(client, "archive", project.slug)
    upload = reverse("predictions:upload", args=[project.slug])
    page = client.get(upload).content.decode()
    assert "This project is archived" in page and 'id="upload"' not in page
    refused = client.post(upload, {"file": make_upload()})
    assert refused.status_code == 409 and "is archived" in refused.content.decode()
    answer = client.post(
        f"/api/v1/projects/{project.slug}/predict",
        {"file": make_upload()},
        HTTP_AUTHORIZATION=f"Token {make_token(maintainer)}",
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "project_archived")
    post(client, "restore", project.slug)
    assert 'id="upload"' in client.get(upload).content.decode()


@pytest.mark.parametrize(
    ("trainer", "debug", "offered"), [("", False, False), ("dummy", False, True), ("", True, True)]
)
def test_the_trainer_for_tests_is_offered_only_where_it_is_used(
    client, maintainer, settings, trainer, debug, offered
):
    settings.DEBUG = debug
    project = make_project(trainer=trainer)
    page = client.get(reverse("training:options", args=[project.slug])).content.decode()
    assert ('value="dummy"' in page) == offered
