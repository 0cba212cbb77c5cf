import pytest

from common.errors import InvalidInput
from predictions import categories
from predictions.tests.factories import make_category, make_project

pytestmark = pytest.mark.django_db


def test_a_new_name_makes_a_category():
    category, created = categories.add_category(make_project(), "  Crème   brûlée ", "burnt sugar")
    assert created
    assert (category.name, category.description) == ("Crème brûlée", "burnt sugar")


def test_the_same_name_gives_the_same_category():
    pizza = make_category(name="pizza")
    assert categories.add_category(pizza.project, "Pizza") == (pizza, False)


def test_two_ways_to_write_an_accent_are_one_name():
    project = make_project()
    composed, _created = categories.add_category(project, "caf\u00e9")
    assert categories.add_category(project, "cafe\u0301") == (composed, False)


def test_projects_have_categories_of_their_own():
    pizza = make_category(name="pizza")
    assert categories.find_category(make_project(), "pizza") is None
    assert categories.find_category(pizza.project, "PIZZA") == pizza


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 101, "pi\x00zza", "pi\nzza", "pi\u202ezza", "\ud800"]
)
def test_a_name_that_nobody_could_read_is_refused(name):
    with pytest.raises(InvalidInput) as refusal:
        categories.add_category(make_project(), name)
    assert refusal.value.fields["name"]


def names_in_order(project):
    return [each.name for each in project.categories.all()]


def test_categories_stand_by_name_until_somebody_moves_one():
    project = make_project(categories=["b", "a", "c"])
    assert names_in_order(project) == ["a", "b", "c"]
    categories.move_category(project.categories.get(name="c"), by=-1)
    assert names_in_order(project) == ["a", "c", "b"]
    categories.move_category(project.categories.get(name="a"), by=1)
    assert names_in_order(project) == ["c", "a", "b"]


def test_a_category_at_the_end_stays_there():
    project = make_project(categories=["a", "b"])
    categories.move_category(project.categories.get(name="a"), by=-1)
    categories.move_category(project.categories.get(name="b"), by=1)
    assert names_in_order(project) == ["a", "b"]


def test_a_new_category_comes_behind_those_that_were_put_in_order():
    project = make_project(categories=["b", "c"])
    categories.move_category(project.categories.get(name="c"), by=-1)
    categories.add_category(project, "a")
    assert names_in_order(project) == ["c", "b", "a"]


def test_several_categories_are_added_all_or_none():
    project = make_project(categories=["a"])
    added = categories.add_categories(project, ["b", "A", "c"])
    assert [each.name for each in added] == ["b", "c"]
    with pytest.raises(InvalidInput):
        categories.add_categories(project, ["d", " "])
    assert names_in_order(project) == ["a", "b", "c"]
