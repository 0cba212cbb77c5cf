"""The outlook of a run: what more labels are likely to bring, found out after it has ended."""

from collections.abc import Mapping, Sequence

import numpy as np
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy

from common.progress import Progress, subrange
from common.tasks import task
from predictions import registry
from predictions.models import Project
from training.data import datasets
from training.data.examples import Example
from training.evaluation import evaluations, outlook
from training.models import TrainingRun


def request_outlook(run: TrainingRun) -> None:
    """Have a worker find out what more labels would bring, where one label says what is shown."""
    if not run.project.multilabel:
        find_outlook.enqueue(run_key=run.pk)


def newest_with_outlook(project: Project) -> TrainingRun | None:
    """Return the newest run of a project that an outlook was found for."""
    found: QuerySet[TrainingRun] = project.runs.exclude(outlook={})
    return found.first()


@task(
    "training.outlook",
    queue="training",
    max_attempts=3,
    stored_as={"run_key": "run"},
    title=gettext_lazy("Find out what more labels would bring"),
)
def find_outlook(progress: Progress, run_key: int) -> None:
    """Measure the learning curve of a run's data set and keep it; safe to repeat."""
    runs = TrainingRun.objects.select_related("dataset", "model_version", "project")
    run = runs.filter(pk=run_key).first()
    if run is None or run.model_version is None:
        return
    version = run.model_version
    try:
        trainer = evaluations.trainer_for(version)
    except evaluations.NoTrainerForModel:
        return
    if not trainer.has_vectors:
        return
    examples = datasets.load_examples(run.dataset)
    # More than is used of either side need not be read
    some = [
        *_first(examples, datasets.Split.TRAIN),
        *_first(examples, datasets.Split.VALIDATION, datasets.Split.TEST),
    ]
    vectors = trainer.feature_vectors(registry.model_ref(version), some, subrange(progress, 0, 30))
    used = [example for example in some if example.sha256 in vectors]
    names = sorted({example.category for example in used})
    train, held_out = (
        _part(
            [each for each in used if (each.split == datasets.Split.TRAIN) == wanted],
            vectors,
            names,
        )
        for wanted in (True, False)
    )
    if not train or not held_out:
        return
    found = outlook.measure_outlook(train, held_out, names, subrange(progress, 30, 100))
    if found:
        TrainingRun.objects.filter(pk=run.pk).update(outlook=found.as_json())


def _part(
    examples: Sequence[Example], vectors: Mapping[str, np.ndarray], names: Sequence[str]
) -> outlook.Part | None:
    """Return the vectors and class numbers of examples, or None where there are none."""
    if not examples:
        return None
    labels = np.array([names.index(example.category) for example in examples])
    return np.stack([vectors[example.sha256] for example in examples]), labels


def _first(examples: list[Example], *splits: str) -> list[Example]:
    """Return the first examples of these splits: they come by digest, which is a draw at random."""
    return [each for each in examples if each.split in splits][: outlook.MOST_ROWS]
