"""Names that a reader takes for the same are the same, on every database."""

import threading

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from accounts.models import User
from common.errors import InvalidInput
from common.names import comparison_key, fill_name_keys, without_invisible
from predictions import categories
from predictions.models import Category
from predictions.tests.factories import make_project, make_user

ALIKE = [
    ("Épinards", "épinards"),
    ("e\u0301pinards", "Épinards"),
    ("pizza", "PIZZA"),
    ("pizza", "piz\u200bza"),
    ("pizza", "\ufeffpizza"),
    ("pizza", "piz\u00adza"),
    ("pizza", "piz\u200dza"),
    ("pizza", "ｐｉｚｚａ"),
    ("Straße", "STRASSE"),
    ("ﾊﾟﾝ", "パン"),
    ("❤", "❤\ufe0f"),
    ("a b", "a  b"),
]
ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
SCOTLAND = "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
DIFFERENT = [
    (ENGLAND, SCOTLAND),
    ("A/", "A"),
    ("pizza", "pizzas"),
    ("می\u200cخواهم", "میخواهم"),  # a joiner of Persian
    ("क्\u200dष", "क्ष"),  # and one of Hindi
    ("👩\u200d🍳", "👩🍳"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_what_reads_the_same_has_one_key(one, other):
    assert comparison_key(one) == comparison_key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_reads_differently_has_two(one, other):
    assert comparison_key(one) != comparison_key(other)


def test_the_key_of_a_long_name_fits():
    assert len(comparison_key("ﷺ" * 100)) <= 255


@pytest.mark.parametrize(
    "name", ["👩\u200d🍳", "❤\ufe0f", "क्\u200dष", "🏴\U000e0067\U000e0062\U000e007f", "\U0001fae9"]
)
def test_what_scripts_and_emoji_need_stays(name):
    assert without_invisible(name) == name
    assert categories.clean_name(name) == name


@pytest.mark.parametrize("name", ["\ufe0f", "\u200b", "\U000e0041"])
def test_a_name_of_which_nothing_is_seen_is_none(name):
    with pytest.raises(InvalidInput, match="give a name"):
        categories.clean_name(name)


@pytest.mark.django_db
@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_alike_names_are_one_category(one, other):
    project = make_project(categories=())
    category, _created = categories.add_category(project, one)
    assert categories.add_category(project, other) == (category, False)


@pytest.mark.django_db
def test_a_category_keeps_its_name_apart_when_it_is_renamed():
    project = make_project(categories=("cake", "pie"))
    cake = project.categories.get(name="cake")
    categories.rename_category(cake, "tart")
    assert categories.find_category(project, "TART") == cake
    assert categories.find_category(project, "cake") is None


@pytest.mark.django_db(transaction=True)
def test_of_several_who_add_one_at_once_one_makes_it():
    project = make_project(categories=())
    start = threading.Barrier(3)

    def add(name: str) -> None:
        start.wait()
        try:
            categories.add_category(project, name)
        finally:
            connection.close()

    for round in range(5):
        threads = [
            threading.Thread(target=add, args=(f"{name}{round}",)) for name in ("é", "É", "e\u0301")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert project.categories.count() == round + 1


@pytest.mark.django_db
def test_users_are_told_apart_by_their_names():
    make_user(username="élise")
    with pytest.raises(ValidationError, match="already"):
        User(username="ÉLISE", password="x").full_clean()  # noqa: S106
    with pytest.raises(IntegrityError), transaction.atomic():
        make_user(username="ÉLISE")


@pytest.mark.django_db
def test_twins_from_before_go_on_and_are_told_by_a_check(capsys):
    project = make_project(categories=("cake", "pie"))
    pie = project.categories.get(name="pie")
    Category.objects.filter(pk=pie.pk).update(name="CAKE", name_key="")
    with connection.cursor() as cursor:  # as they were before there were keys
        cursor.execute("UPDATE predictions_category SET name_key = 'x' || id")
    fill_name_keys(Category, "project_id")
    pie.refresh_from_db()
    pie.description = "still here"
    pie.save()
    call_command("check", databases=["default"])
    assert "“CAKE” has the name of another one" in capsys.readouterr().err
    categories.rename_category(pie, "pie")
    assert not Category.twins().exists()
