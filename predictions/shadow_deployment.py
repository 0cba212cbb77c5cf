"""Which model is asked beside the live one, while nobody waits, and what it has yet to see.

Whoever sends a picture pays nothing for it: no row is written and none is read in their request.
Which predictions wait for the shadow is a question about facts: those made while it was on duty, by
another model, without its answer. `predictions.shadow_inference` does the work.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import Conflict
from predictions import registry
from predictions.models import ModelVersion, Prediction, Project, Shadow, ShadowPrediction

# How long after a prediction its picture stays for the shadow, whatever the user says.
PICTURE_HOLD = timedelta(minutes=15)


class NotShadowable(Conflict):
    """This cannot be put in shadow, or nothing is; the message says why."""

    code = "not_shadowable"


def shadow_version(project: Project) -> ModelVersion | None:
    """Return the model version that runs in shadow now, if any."""
    newest = latest_shadow(project)
    return newest.model_version if newest else None


def latest_shadow(project: Project) -> Shadow | None:
    return (
        Shadow.objects.filter(project=project)
        .select_related("model_version")
        .order_by("-pk")
        .first()
    )


def last_shadow_version(project: Project) -> ModelVersion | None:
    """Return the model version that runs in shadow, or else the one that did so last."""
    rows = Shadow.objects.filter(project=project, model_version__isnull=False).select_related(
        "model_version__project"
    )
    newest = rows.order_by("-pk").first()
    return newest.model_version if newest else None


@transaction.atomic
def start_shadow(version: ModelVersion, *, by: User | None) -> Shadow:
    """From now on this version is asked in shadow, instead of any other.

    Raises:
        NotShadowable: if it is the live model, or in shadow already.
    """
    # The project's row is the lock: of two who choose at once, the second sees the first's choice.
    Project.objects.select_for_update().get(pk=version.project_id)
    if registry.live_version(version.project) == version:
        raise NotShadowable(
            _(
                "Version %(number)d is the live model: there is nothing to compare it with. Choose "
                "another one."
            )
            % {"number": version.number}
        )
    if shadow_version(version.project) == version:
        raise NotShadowable(
            _("Version %(number)d runs in shadow already.") % {"number": version.number}
        )
    return _choose(version.project, version, by)


@transaction.atomic
def stop_shadow(project: Project, *, by: User | None) -> Shadow:
    """Ask no model in shadow any more; what waits by now is answered. Raises NotShadowable."""
    Project.objects.select_for_update().get(pk=project.pk)
    if shadow_version(project) is None:
        raise NotShadowable(_("No model runs in shadow here."))
    return _choose(project, None, by)


def unanswered_predictions() -> QuerySet[Prediction]:
    """Return the predictions that a shadow has yet to answer.

    Each has the id of that version as `shadow_version`. The shadow on duty is the one chosen last
    before the prediction was made. Narrow it down before reading it.
    """
    on_duty = Shadow.objects.filter(
        project=OuterRef("project"), created_at__lte=OuterRef("created_at")
    )
    answers = ShadowPrediction.objects.filter(
        prediction=OuterRef("pk"), model_version=OuterRef("shadow_version")
    )
    return (
        Prediction.objects.annotate(
            shadow_version=Subquery(on_duty.order_by("-pk").values("model_version")[:1])
        )
        .filter(
            ~Q(shadow_version=F("model_version")), ~Exists(answers), shadow_version__isnull=False
        )
        .order_by("pk")
    )


def pending_predictions(choice: Shadow) -> QuerySet[Prediction]:
    """Return the predictions of a project that wait, oldest first; `choice` is its newest."""
    # Without its hint, each search would read all predictions that were ever made.
    return unanswered_predictions().filter(project=choice.project_id, pk__gt=choice.searched_to)


def awaits_shadow() -> Exists:
    """Say whether a shadow has yet to see the sample that `OuterRef("pk")` stands for."""
    return Exists(
        unanswered_predictions().filter(
            sample=OuterRef("pk"), created_at__gte=timezone.now() - PICTURE_HOLD
        )
    )


def _choose(project: Project, version: ModelVersion | None, by: User | None) -> Shadow:
    # The first choice has nothing to do with older predictions; a later one takes over the hint, as
    # there may be some that still wait for the one before.
    before = latest_shadow(project)
    newest = project.predictions.order_by("-pk").values_list("pk", flat=True).first()
    return Shadow.objects.create(
        project=project,
        model_version=version,
        chosen_by=by,
        searched_to=before.searched_to if before else newest or 0,
    )
