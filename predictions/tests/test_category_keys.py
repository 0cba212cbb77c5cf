from importlib import import_module

import pytest
from django.apps import apps
from django.db import IntegrityError

from predictions import categories, category_keys
from predictions.category_keys import KEYS
from predictions.models import Category
from predictions.tests.factories import make_project

pytestmark = pytest.mark.django_db


def keys_of(project):
    return {each.name: each.key for each in category_keys.keyed_categories(project)}


def test_a_category_gets_the_next_key_when_it_is_made():
    project = make_project(categories=["gnocchi", "risotto"])
    keys_of(project)
    pizza, _is_new = categories.add_category(project, "pizza")
    assert pizza.key == "3"


def test_a_new_category_moves_the_key_of_no_other():
    project = make_project(categories=["gnocchi", "risotto"])
    before = keys_of(project)
    categories.add_category(project, "artichoke")
    assert keys_of(project) == before | {"artichoke": "3"}
    assert list(keys_of(project)) == ["gnocchi", "risotto", "artichoke"]


def test_a_category_that_is_renamed_keeps_its_key():
    project = make_project(categories=["gnocchi", "risotto"])
    keys_of(project)
    categories.rename_category(project.categories.get(name="gnocchi"), "zucchini")
    assert keys_of(project) == {"zucchini": "1", "risotto": "2"}


def test_the_key_of_a_deleted_category_is_not_given_again_while_another_is_left():
    project = make_project(categories=["gnocchi", "risotto"])
    keys_of(project)
    project.categories.get(name="gnocchi").delete()
    categories.add_category(project, "pizza")
    assert keys_of(project) == {"risotto": "2", "pizza": "3"}


def test_a_freed_key_is_given_again_when_no_other_is_left():
    project = make_project(categories=[f"dish {number:02}" for number in range(len(KEYS))])
    keys_of(project)
    project.categories.get(key="5").delete()
    assert categories.add_category(project, "pizza")[0].key == "5"


def test_beyond_the_keys_a_category_has_none_and_comes_last():
    project = make_project(categories=[f"dish {number:02}" for number in range(len(KEYS) + 2)])
    shown = category_keys.keyed_categories(project)
    assert [each.key for each in shown] == [*KEYS, "", ""]


def test_no_two_categories_of_a_project_have_one_key():
    project = make_project()
    Category.objects.create(project=project, name="gnocchi", key="1")
    with pytest.raises(IntegrityError):
        Category.objects.create(project=project, name="risotto", key="1")


def test_two_projects_have_keys_of_their_own():
    assert keys_of(make_project(categories=["gnocchi"])) == {"gnocchi": "1"}
    assert keys_of(make_project(categories=["risotto"])) == {"risotto": "1"}


def test_no_key_has_another_meaning():
    assert not set(KEYS) & set("ouastdnhzjklr?")
    assert len(set(KEYS)) == len(KEYS)


def test_categories_of_before_get_keys_in_the_order_of_their_names():
    project = make_project(categories=["risotto", "gnocchi", "tiramisu"])
    migration = import_module("predictions.migrations.0017_category_keys")
    migration.give(apps, None)
    assert keys_of(project) == {"gnocchi": "1", "risotto": "2", "tiramisu": "3"}
    project.categories.get(name="gnocchi").delete()
    assert categories.add_category(project, "pizza")[0].key == "4"


def test_a_project_with_many_categories_is_given_as_many_keys_as_there_are():
    project = make_project(categories=[f"dish {number:02}" for number in range(30)])
    import_module("predictions.migrations.0017_category_keys").give(apps, None)
    assert [each.key for each in project.categories.order_by("name")] == [*KEYS, *[""] * 8]


def test_a_category_that_is_moved_keeps_its_key():
    project = make_project(categories=["gnocchi", "risotto"])
    keys_of(project)
    categories.move_category(project.categories.get(name="risotto"), by=-1)
    assert keys_of(project) == {"gnocchi": "1", "risotto": "2"}
    assert list(keys_of(project)) == ["risotto", "gnocchi"]
