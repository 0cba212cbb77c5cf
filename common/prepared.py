"""SQL that is needed for every picture, compiled once instead of each time.

Django takes five to ten times as long to put such a statement together as SQLite takes to execute
it. A prepared query is an ordinary queryset in which parameters stand for the values, given as the
database takes them: keys and texts.

    _known = Prepared(lambda project, sha256: Sample.objects.filter(project=project, sha256=sha256))
    sample = _known.first(project.pk, sha256)

A prepared insert writes a new object of a model as a row:

    _insert = PreparedInsert(Sample)
    _insert(sample)
"""

import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from django.db import connections, router
from django.db.models import (
    BooleanField,
    CharField,
    Expression,
    Field,
    FloatField,
    ForeignKey,
    IntegerField,
    Model,
    QuerySet,
)
from django.db.models.query import ModelIterable, get_related_populators
from django.db.models.sql import InsertQuery

M = TypeVar("M", bound=Model)
# What every database takes as it is: values of exactly this type in such a field
_PLAIN = {BooleanField: bool, CharField: str, FloatField: float, ForeignKey: int, IntegerField: int}


class Parameter(Expression):
    """Stands in a query for a value that is not known yet."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        return "%s", [self]


class Prepared(Generic[M]):
    """A query in which only some values change. Safe in threads: each compiles it for its own
    connection.
    """

    def __init__(self, build: Callable[..., QuerySet[M, Any]]) -> None:
        """Args:
        build: returns the queryset, given something to stand for each value.
        """
        self.build = build
        self._compiled = threading.local()

    def first(self, *values: object) -> M | None:
        """Return the first object, in the order that the queryset gives, or None. Related objects
        come with it.
        """
        return next(self.objects(*values), None)

    def objects(self, *values: object) -> Iterator[M]:
        """Yield the objects of a queryset that gives objects."""
        query = self._query()
        for row in query.ask(values):
            found: M = query.model.from_db(query.alias, query.names, row[query.columns])
            for related in query.related:
                related.populate(row, found)
            yield found

    def rows(self, *values: object) -> list[tuple]:
        """Return the tuples of a queryset that gives values."""
        return list(self._query().ask(values))

    def _query(self) -> "_Compiled":
        try:
            return self._compiled.query
        except AttributeError:
            count = len(inspect.signature(self.build).parameters)
            self._compiled.query = _Compiled(self.build(*map(Parameter, range(count))))
            return self._compiled.query


class _Compiled:
    """A query as SQL, and how to make objects of what it finds; belongs to the connection of one
    thread.
    """

    def __init__(self, queryset: QuerySet) -> None:
        self.alias = queryset.db
        self.compiler = queryset.query.get_compiler(using=self.alias)
        self.sql, self.parameters = self.compiler.as_sql()
        self.converters = self.compiler.get_converters(
            [column for column, *_others in self.compiler.select]
        )
        if issubclass(queryset._iterable_class, ModelIterable):
            kind = self.compiler.klass_info
            first, last = kind["select_fields"][0], kind["select_fields"][-1]
            self.model: type[Any] = kind["model"]
            self.columns = slice(first, last + 1)
            self.names = [column[0].target.attname for column in self.compiler.select[self.columns]]
            self.related = get_related_populators(kind, self.compiler.select, self.alias)  # type: ignore[call-arg]

    def ask(self, values: tuple[object, ...]) -> Iterator[Any]:
        given: list[Any] = [
            values[each.place] if isinstance(each, Parameter) else each for each in self.parameters
        ]
        with connections[self.alias].cursor() as cursor:
            cursor.execute(self.sql, given)
            return map(tuple, self.compiler.apply_converters(cursor.fetchall(), self.converters))


class PreparedInsert(Generic[M]):
    """Writes new objects of a model whose key the database gives, one row each. Safe in threads, as
    `Prepared`.

    For models without parents, signals and database expressions as values.
    """

    def __init__(self, model: type[M]) -> None:
        self.model = model
        self._compiled = threading.local()

    def __call__(self, fresh: M) -> M:
        """Write the object, give it its key, and return it.

        Raises:
            IntegrityError: the database has a constraint against it.
        """
        try:
            statement = self._compiled.statement
        except AttributeError:
            statement = self._compiled.statement = _CompiledInsert(self.model, fresh)
        fresh.pk = statement.execute(fresh)
        fresh._state.adding, fresh._state.db = False, statement.alias
        return fresh


class _CompiledInsert:
    """An INSERT as SQL, and how to make its parameters; belongs to the connection of one thread."""

    def __init__(self, model: type[Model], example: Model) -> None:
        self.alias = router.db_for_write(model)
        fields = [field for field in model._meta.concrete_fields if not field.primary_key]
        query = InsertQuery(model)
        query.insert_values(fields, [example])
        compiler = query.get_compiler(using=self.alias)
        compiler.returning_fields = [model._meta.pk]
        ((self.sql, _parameters),) = compiler.as_sql()
        self.fields = [(field, _plain_type(field)) for field in fields]

    def execute(self, fresh: Model) -> Any:
        connection = connections[self.alias]
        given: list[Any] = []
        for field, plain in self.fields:
            value = field.pre_save(fresh, add=True)
            given.append(
                value if type(value) is plain else field.get_db_prep_save(value, connection)
            )
        with connection.cursor() as cursor:
            cursor.execute(self.sql, given)
            return cursor.fetchone()[0]


def _plain_type(field: Field) -> type | None:
    return next((plain for kind, plain in _PLAIN.items() if isinstance(field, kind)), None)
