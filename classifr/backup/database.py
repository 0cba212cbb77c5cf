"""The database as rows of JSON: read from one moment, and brought back beside what is there.

The same rows go into SQLite and PostgreSQL. A new database is built next to the old one, at the
migrations of the archive, and takes its place in one step: a crash leaves the old one or the new.
"""

import base64
import gzip
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2.extensions
from django.apps import apps
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import DatabaseError, Error, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.models import Model
from django.utils.duration import duration_string

from classifr.backup.errors import BackupError

PART_BYTES = 4_000_000
ROWS_AT_ONCE = 500
SCHEMA = "classifr_restoring"


@contextmanager
def snapshot() -> Iterator[None]:
    """Have every query of this process see the database as it is now, whatever happens to it."""
    if connection.vendor == "sqlite":
        with tempfile.TemporaryDirectory(prefix="classifr-backup-") as folder:
            copy = Path(folder) / "database.sqlite3"
            with (
                closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=60)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)  # in one step, which nobody who writes waits for
            with _redirected(NAME=str(copy)):
                yield
    else:
        level = psycopg2.extensions.ISOLATION_LEVEL_REPEATABLE_READ
        options = connection.settings_dict["OPTIONS"] | {"isolation_level": level}
        with _redirected(OPTIONS=options), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
                cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")  # this is the moment
            yield


def migrations() -> list[list[str]]:
    """Return the applied migrations. Raises BackupError if the code has more."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise BackupError("The database is older than the code: run manage.py migrate first.")
    return sorted([app, name] for app, name in executor.loader.applied_migrations)


def dump() -> Iterator[tuple[str, bytes]]:
    """Yield the rows of all tables as parts of some megabytes: their names, and JSON in gzip."""
    tables = set(connection.introspection.table_names())
    for model in apps.get_models(include_auto_created=True):
        options = model._meta
        if options.proxy or not options.managed or options.db_table not in tables:
            continue
        columns = [field.attname for field in options.local_concrete_fields]
        rows = model._base_manager.order_by("pk").values_list(*columns)
        for number, lines in enumerate(_in_parts(columns, rows.iterator(chunk_size=2000))):
            yield f"{options.label_lower}/{number:06}.gz", gzip.compress(lines, 6, mtime=0)


def _in_parts(columns: list[str], rows: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
    header = json.dumps(columns).encode() + b"\n"
    part, length = [header], 0
    for row in rows:
        part.append(json.dumps(row, default=_plain).encode() + b"\n")
        length += len(part[-1])
        if length > PART_BYTES:
            yield b"".join(part)
            part, length = [header], 0
    if len(part) > 1:
        yield b"".join(part)


def _plain(value: object) -> str:
    """Write what JSON has no form for as `to_python` of its field reads it, to the last digit."""
    match value:
        case date() | time():
            return value.isoformat()
        case timedelta():
            return duration_string(value)
        case UUID() | Decimal():
            return str(value)
        case bytes() | memoryview():
            return base64.b64encode(value).decode()
    raise TypeError(f"No form for {type(value).__name__}")


def is_empty() -> bool:
    """Say whether nobody has used the database yet."""
    try:
        tables = set(connection.introspection.table_names())
        used = ("accounts.User", "predictions.Project", "predictions.Sample")
        models = [apps.get_model(label) for label in used]
        return not any(
            model._meta.db_table in tables and model._base_manager.exists() for model in models
        )
    except DatabaseError:
        return False  # there is something that cannot be read
    finally:
        connection.close()


def refuse_newer(applied: Iterable[list[str]]) -> None:
    """Raise BackupError if the archive has migrations that this code does not know."""
    known = MigrationLoader(None).disk_migrations
    if strange := [".".join(one) for one in applied if tuple(one) not in known]:
        raise BackupError(
            f"The archive was made by a newer release ({strange[0]}): install that first."
        )


def replace(applied: list[list[str]], parts: Iterable[tuple[str, bytes]]) -> None:
    """Build a database of these rows, bring it up to this code, and put it in place of ours."""
    build = _new_sqlite_file if connection.vendor == "sqlite" else _new_schema
    with build():
        _load(applied, parts)
        call_command("migrate", verbosity=0, interactive=False)


@contextmanager
def _new_sqlite_file() -> Iterator[None]:
    path = Path(connection.settings_dict["NAME"])
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.restoring")
    _remove_sqlite(beside)
    with _redirected(NAME=str(beside)):
        yield
    with closing(sqlite3.connect(beside)) as new:  # a file by itself, without a log
        new.execute("PRAGMA journal_mode=DELETE")
    with open(beside, "rb") as file:
        os.fsync(file.fileno())
    # A log that is left beside another database than its own destroys it: first the old one's
    # log goes, into it as far as it can be read.
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=20)) as old:
        if old.execute("PRAGMA journal_mode=DELETE").fetchone() != ("delete",):
            raise BackupError("The database is in use: stop the web server and the worker first.")
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    beside.replace(path)


def _remove_sqlite(path: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)


@contextmanager
def _new_schema() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        (schema,) = cursor.fetchone()
        cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        cursor.execute(f"CREATE SCHEMA {SCHEMA}")
    options = connection.settings_dict["OPTIONS"] | {"options": f"-c search_path={SCHEMA}"}
    with _redirected(OPTIONS=options):
        yield
        tables = connection.introspection.table_names()
    quote = connection.ops.quote_name
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '20s'")
        for table in tables:
            cursor.execute(f"DROP TABLE IF EXISTS {quote(schema)}.{quote(table)} CASCADE")
        for table in tables:
            # Indexes and sequences go along
            cursor.execute(f"ALTER TABLE {SCHEMA}.{quote(table)} SET SCHEMA {quote(schema)}")
        cursor.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


@contextmanager
def _redirected(**changes: Any) -> Iterator[None]:
    """Have everything that uses the database use another one, data migrations as well."""
    connection.close()
    before = dict(connection.settings_dict)
    connection.settings_dict.update(changes)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(before)


def _load(applied: list[list[str]], parts: Iterable[tuple[str, bytes]]) -> None:
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    there = {(app, name) for app, name in applied} & graph.nodes.keys()
    # The last ones alone: to be asked for one that another needs would mean to undo the other
    targets = sorted(
        key for key in there if not there & {child.key for child in graph.node_map[key].children}
    )
    executor.migrate(targets)
    models = executor.loader.project_state(targets).apps
    try:
        with transaction.atomic():
            # What migrations put in comes again with the rows
            with connection.cursor() as cursor:
                for name in set(connection.introspection.table_names()) - {"django_migrations"}:
                    table = connection.ops.quote_name(name)
                    cursor.execute(f"DELETE FROM {table}")  # noqa: S608 (a table of ours)
            loaded: dict[str, type[Model]] = {}
            for name, data in parts:
                label = name.partition("/")[0]
                if label not in loaded:
                    loaded[label] = models.get_model(label)
                _insert(loaded[label], gzip.decompress(data))
            reset = connection.ops.sequence_reset_sql(no_style(), list(loaded.values()))
            with connection.cursor() as cursor:
                for statement in reset:
                    cursor.execute(statement)
            connection.check_constraints()
    except (Error, LookupError, ValueError) as error:
        raise BackupError(f"The rows of the archive do not fit: {error}") from error


def _insert(model: type[Model], lines: bytes) -> None:
    header, *rows = lines.splitlines()
    fields = {field.attname: field for field in model._meta.local_concrete_fields}
    columns = [fields[name] for name in json.loads(header)]
    for field in columns:  # times stay what they were
        for automatic in ("auto_now", "auto_now_add"):
            if hasattr(field, automatic):
                setattr(field, automatic, False)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        objects = []
        for line in rows[start : start + ROWS_AT_ONCE]:
            values = zip(columns, json.loads(line), strict=True)
            objects.append(
                model(**{field.attname: field.to_python(value) for field, value in values})
            )
        model._base_manager.bulk_create(objects)
