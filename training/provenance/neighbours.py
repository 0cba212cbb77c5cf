"""The training samples that are most like a prediction's sample: searched once, by a worker."""

from dataclasses import dataclass
from enum import StrEnum

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from common import jobs
from common.errors import DomainError, QuotaReached, Unavailable
from common.progress import Progress
from common.tasks import task
from predictions import registry
from predictions.models import Prediction, Sample
from predictions.quotas import count_work
from training.data import datasets
from training.data.examples import Example
from training.evaluation import evaluations
from training.features.neighbours import Neighbourhood
from training.models import DatasetItem, DatasetVersion, NeighbourSearch, TrainingRun

COUNT = 12
# A search reads the vectors of all training samples, which takes about as long as decoding so many
MEGAPIXELS = 40


class SearchState(StrEnum):
    READY = "ready"
    SEARCHING = "searching"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class SearchResult:
    """How far a search is: its row when it is ready, or a sentence why there is none."""

    state: SearchState
    search: NeighbourSearch | None = None
    problem: str = ""


def find_or_request(prediction: Prediction, *, by: User) -> SearchResult:
    """Return the nearest training samples, or have a worker search them; asked again, it says."""
    search = NeighbourSearch.objects.filter(prediction=prediction).first()
    if search:
        state = SearchState.UNAVAILABLE if search.problem else SearchState.READY
        return SearchResult(state, search, search.problem)
    if learned_dataset(prediction) is None:
        return SearchResult(SearchState.UNAVAILABLE, problem=_no_dataset())
    key = f"neighbours-{prediction.pk}"
    if not jobs.is_active(key):
        try:
            with transaction.atomic():
                count_work(by, megapixels=MEGAPIXELS)
                search_neighbours.using(key=key).enqueue(prediction_key=prediction.pk)
        except jobs.AlreadyEnqueued:
            pass
        except QuotaReached as error:
            return SearchResult(SearchState.UNAVAILABLE, problem=str(error))
    return SearchResult(SearchState.SEARCHING)


def learned_dataset(prediction: Prediction) -> DatasetVersion | None:
    """Return the data set version that the model of a prediction learned from, if it is here."""
    run = TrainingRun.objects.filter(model_version=prediction.model_version_id)
    found = run.select_related("dataset").first()
    return found.dataset if found else None


@task(
    "training.search_neighbours",
    queue="analysis",
    max_attempts=5,
    stored_as={"prediction_key": "prediction"},
    keeps_language=True,
    title=gettext_lazy("Search the nearest training samples"),
)
def search_neighbours(progress: Progress, prediction_key: int) -> None:
    """Search the training samples nearest to a prediction's sample; done twice, it changes nothing.

    Raises:
        RetryLater: the storage does not answer now.
    """
    prediction = (
        Prediction.objects.select_related("sample", "model_version__project")
        .filter(pk=prediction_key)
        .first()
    )
    dataset = learned_dataset(prediction) if prediction else None
    done = NeighbourSearch.objects.filter(prediction=prediction_key).exists()
    if prediction is None or dataset is None or done:
        return
    problem, found = "", None
    try:
        found = _search(prediction, dataset, progress)
        if found is None:
            problem = _(
                "The nearest training samples are not known: the sample was not kept, or this "
                "model keeps no feature vectors of what it learned from."
            )
    except Unavailable as error:
        raise jobs.RetryLater(str(error)) from error
    except (DomainError, ImproperlyConfigured) as error:
        problem = str(error)
    NeighbourSearch.objects.get_or_create(
        prediction=prediction,
        defaults={
            "nearest": _by_sample(found, dataset) if found else [],
            "compared": found.compared if found else 0,
            "problem": problem[:300],
        },
    )


def _search(
    prediction: Prediction, dataset: DatasetVersion, progress: Progress
) -> Neighbourhood | None:
    progress(0, 1, _("Comparing with the training samples"))
    sample, version = prediction.sample, prediction.model_version
    learned = dataset.items.filter(split=DatasetItem.Split.TRAIN)
    asked = Example(sample.sha256, "", "", datasets.picture_reader(sample))
    found = evaluations.trainer_for(version).nearest_samples(
        registry.model_ref(version),
        asked,
        set(learned.values_list("sample__sha256", flat=True).iterator(5000)),
        COUNT,
        progress,
    )
    progress(1, 1, _("Comparing with the training samples"))
    return found


def _by_sample(found: Neighbourhood, dataset: DatasetVersion) -> list[list[float]]:
    samples = Sample.objects.filter(
        project=dataset.project_id, sha256__in=[each.sha256 for each in found.nearest]
    )
    ids = dict(samples.values_list("sha256", "pk"))
    return [
        [ids[each.sha256], round(each.cosine, 4)] for each in found.nearest if each.sha256 in ids
    ]


def _no_dataset() -> str:
    return _("This model learned from no data set that is kept here.")
