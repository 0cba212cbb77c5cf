import pytest
from django.core.management import CommandError, call_command

from common.errors import Conflict, InvalidInput
from predictions import projects, registry
from predictions.models import Project
from predictions.tests.factories import make_live_model, make_model_version, make_project

pytestmark = pytest.mark.django_db


def test_the_slug_comes_from_the_name():
    assert projects.create_project("Dishes of Italy").slug == "dishes-of-italy"


def test_a_name_without_latin_letters_still_gets_a_slug():
    assert projects.create_project("料理").slug.startswith("project-")


def test_a_slug_is_taken_once():
    make_project(slug="dishes")
    with pytest.raises(Conflict, match="dishes"):
        projects.create_project("Dishes")


@pytest.mark.parametrize("slug", ["two words", "../up", "x" * 61])
def test_a_slug_that_cannot_stand_in_an_address_is_refused(slug):
    with pytest.raises(InvalidInput):
        projects.create_project("Dishes", slug)


def test_projects_are_listed_with_the_live_model_in_one_query(django_assert_num_queries):
    older, newer = make_live_model(), None
    newer = make_live_model(older.project)
    make_model_version(older.project)
    waiting = make_project()
    with django_assert_num_queries(1):
        numbers = dict(projects.projects_with_live_version().values_list("pk", "live_number"))
    assert numbers == {older.project.pk: newer.number, waiting.pk: None}
    registry.promote_version(older, by=None)
    assert projects.projects_with_live_version().filter(live_number=older.number).exists()


def test_the_command_makes_a_project(capsys):
    call_command("create_project", "Dishes", "--slug", "food")
    assert Project.objects.get().slug == "food"
    assert "add_category" in capsys.readouterr().out


def test_the_command_explains_a_refusal():
    make_project(slug="dishes")
    with pytest.raises(CommandError, match="already"):
        call_command("create_project", "Dishes")
