"""SQL for the few statements that every picture needs, through Django's public interface.

Django takes five to ten times as long to put such a statement together as the database takes to
answer it, and `Manager.raw()` still twice as long. The statements of an app stand together in its
module `queries`; everything else is a queryset.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models import Field, Model
from django.utils import timezone

# What every database gives, and takes, as it is; a ForeignKey is the key alone.
_PLAIN = (models.CharField, models.FloatField, models.ForeignKey, models.IntegerField)


def columns(model: type[Model], table: str) -> str:
    """Return all columns of a model for a SELECT, in the order in which `fetch_objects` reads them.

    `table` is the name that the statement gives to the model's table.
    """
    return ", ".join(f'{table}."{field.column}"' for field in model._meta.concrete_fields)


def fetch_objects(
    kinds: Sequence[type[Model]], sql: str, values: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """Return the objects of each row, one for each model whose `columns` the statement selects."""
    found = []
    for row in fetch_rows(sql, values):
        objects, position = [], 0
        for kind in kinds:
            fields = kind._meta.concrete_fields
            own = list(row[position : position + len(fields)])
            position += len(fields)
            for place in _places_to_convert(kind):
                own[place] = _to_python(fields[place], own[place])
            names = [field.attname for field in fields]
            objects.append(kind.from_db(connection.alias, names, own))
        found.append(tuple(objects))
    return found


def fetch_rows(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return what a SELECT gives, unconverted: for keys and texts, which need nothing else."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def insert_object(fresh: Model, *, unless_there: bool = False) -> bool:
    """Write a new object as a row, and give it the key that the database chose.

    For models without parents, signals and database expressions as values.

    Args:
        unless_there: write nothing, instead of an error, where a unique row is there already.

    Returns:
        Whether it was written.

    Raises:
        IntegrityError: if the database has a constraint against it.
    """
    fields = [field for field in fresh._meta.concrete_fields if not field.primary_key]
    values = [field.get_db_prep_save(field.pre_save(fresh, True), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(_insert_statement(type(fresh), unless_there), values)
        row = cursor.fetchone()
    if row is None:
        return False
    fresh.pk = row[0]
    # As `Model.save` would leave it, so that a later `save` is an UPDATE.
    fresh._state.adding, fresh._state.db = False, connection.alias
    return True


@cache
def _insert_statement(model: type[Model], unless_there: bool) -> str:
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    names = ", ".join(f'"{field.column}"' for field in fields)
    places = ", ".join(["%s"] * len(fields))
    table, key = model._meta.db_table, model._meta.pk.column
    unless = "ON CONFLICT DO NOTHING " if unless_there else ""
    return (
        f'INSERT INTO "{table}" ({names}) VALUES ({places}) '  # noqa: S608
        f'{unless}RETURNING "{key}"'
    )


@cache
def _places_to_convert(model: type[Model]) -> list[int]:
    fields = model._meta.concrete_fields
    return [place for place, field in enumerate(fields) if not isinstance(field, _PLAIN)]


def _to_python(field: Field, value: Any) -> Any:
    """Return the value of a field, given what the database gave."""
    if isinstance(value, datetime) and timezone.is_naive(value):
        return timezone.make_aware(value, connection.timezone)  # SQLite knows no time zones
    if hasattr(field, "from_db_value"):
        return field.from_db_value(value, None, connection)
    return field.to_python(value)
