"""What apps above have of projects and samples that this app deletes.

Such an app registers it when it starts; the deletion asks all of them and knows none by name, just
as `predictions.holds` asks conditions that it does not know.

    # customvision/belongings.py, which the app's ready() imports
    @belongings.register
    class CustomVisionBelongings(Belongings): ...
"""

from collections.abc import Iterable, Iterator, Sequence

from django.db.models import QuerySet

from predictions.models import Project, Sample

StoredFile = tuple[str, str]  # the alias of its storage, and its name there

_registered: list["Belongings"] = []


class Belongings:
    """What one app has; it overrides what concerns it."""

    def obstacle(self, project: Project) -> str:
        """Return why nothing can be deleted of a project now, in a sentence, or ""."""
        return ""

    def let_go(self, project: Project) -> None:
        """Do what has to be done at once when a project is about to be deleted."""

    def rows(self, project: Project) -> Sequence[QuerySet]:
        """Return the rows that go before samples, predictions, runs and data sets do, in order."""
        return ()

    def files(self, project: Project) -> Sequence[StoredFile]:
        """Return the files that go with the project."""
        return ()

    def labels_withdrawn(self, samples: Sequence[Sample]) -> None:
        """Do what has to be done with samples that are about to lose a label."""


def register(kind: type[Belongings]) -> type[Belongings]:
    """Register what an app has."""
    _registered.append(kind())
    return kind


def obstacles(project: Project) -> Iterator[str]:
    """Yield why nothing can be deleted of a project now."""
    return filter(None, (each.obstacle(project) for each in _registered))


def let_go(project: Project) -> None:
    for each in _registered:
        each.let_go(project)


def rows_of(project: Project) -> Iterable[QuerySet]:
    return [rows for each in _registered for rows in each.rows(project)]


def files_of(project: Project) -> list[StoredFile]:
    return [file for each in _registered for file in each.files(project)]


def labels_withdrawn(samples: Sequence[Sample]) -> None:
    for each in _registered:
        each.labels_withdrawn(samples)
