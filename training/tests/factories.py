"""What training tests are made of: labelled samples in chosen splits, data sets, runs."""

from functools import cache
from itertools import count
from pathlib import Path

from accounts.models import User
from predictions.models import Category, ModelVersion, Project, Sample
from predictions.tests.factories import make_picture_bytes, make_project, make_sample
from review.models import Decision
from training.data import datasets
from training.models import DatasetVersion, TrainingRun
from training.runs import execution, submission

_numbers = count(1)
_FIRST = {"train": 0, "validation": 70, "test": 85}


def sha_in(split: str) -> str:
    """Return a digest never returned before, whose picture falls into this split."""
    number = next(_numbers)
    return f"{100 * number + _FIRST[split]:08x}{number:056x}"


@cache
def picture_of(colour: str) -> bytes:
    return make_picture_bytes(colour, size=(16, 16))


def label(sample: Sample, category: Category, **fields) -> Decision:
    return Decision.objects.create(
        sample=sample, category=category, outcome=Decision.Outcome.LABELLED, **fields
    )


def make_labelled(
    project: Project,
    name: str,
    *,
    train: int = 4,
    validation: int = 1,
    test: int = 2,
    colour: str = "black",
    **fields,
) -> list[Sample]:
    """Make labelled samples of a category, which share one stored picture.

    The dummy model sees the first of its classes (by name) in black, the last in white.
    """
    category, _ = Category.objects.get_or_create(project=project, name=name)
    first = make_sample(project, sha256=sha_in("train"), data=picture_of(colour), **fields)
    file_name = first.file_name
    first.delete()
    samples = Sample.objects.bulk_create(
        Sample(
            project=project,
            sha256=sha_in(split),
            file_name=file_name,
            media_type="image/jpeg",
            **fields,
        )
        for split, amount in (("train", train), ("validation", validation), ("test", test))
        for _number in range(amount)
    )
    Decision.objects.bulk_create(
        Decision(sample=sample, category=category, outcome=Decision.Outcome.LABELLED)
        for sample in samples
    )
    return samples


def make_trainable(*, test: int = 6, slug: str = "", **fields) -> Project:
    """Make a project of the dummy trainer with two categories that the dummy model tells apart."""
    project = make_project(slug=slug, trainer="dummy", **fields)
    make_labelled(project, "dark", colour="black", test=test)
    make_labelled(project, "light", colour="white", test=test)
    return project


def make_dataset(project: Project | None = None) -> DatasetVersion:
    return datasets.freeze_dataset(project or make_trainable())


def make_run(project: Project | None = None, *, by: User | None = None, **options) -> TrainingRun:
    """Ask for a run, which waits for a worker."""
    wanted = submission.RunOptions(**options)
    return submission.submit_run(project or make_trainable(), wanted, by=by)


def make_finished_run(project: Project | None = None, **fields) -> TrainingRun:
    run = make_run(project, **fields)
    execution.execute_run(run)
    run.refresh_from_db()
    return run


def make_trained(project: Project | None = None, **fields) -> ModelVersion:
    version = make_finished_run(project, **fields).model_version
    assert version is not None
    return version


def make_folder(folder: Path, *names: str) -> Path:
    """Fill a folder with pictures of these names, each different."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(make_picture_bytes())
    return folder
