"""What next: the few acts that help a project most now, each with its button."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import roles
from accounts.models import User
from classifr.overview.figures import MOST_WAITING, SuggestedName, WaitingSamples
from predictions.models import ModelVersion, Project
from predictions.templatetags.predictions_tags import condition_name, percent
from review.queue import Reason
from training.data.datasets import MIN_PICTURES
from training.evaluation import label_check
from training.models import DriftEpisode, DriftMeasure, TrainingRun
from training.runs import retraining

MOST_STEPS = 4
ENOUGH_PICTURES = 20  # of a category; with fewer, more of them help most
FEW_CATEGORIES = 50  # with more, none is singled out
URGENT = (Reason.NOK, Reason.UNSURE)


@dataclass(frozen=True)
class NextStep:
    """One act: why it helps, and the button that leads there."""

    icon: str
    title: str
    why: str
    button: str
    address: str
    css_class: str = ""


def next_steps(
    project: Project,
    user: User,
    *,
    live: ModelVersion | None,
    waiting: list[WaitingSamples],
    suggested: list[SuggestedName],
    sizes: Mapping[str, int],
    drifting: DriftEpisode | None = None,
    has_checklist: bool = False,
) -> list[NextStep]:
    """Return at most `MOST_STEPS` acts that this user may do, the most helpful first.

    Args:
        has_checklist: the page has that of a new project, which leads to its pictures and its run.
    """
    if not user.has_perm(roles.REVIEW):
        return []  # a viewer of the project, who changes nothing
    steps = [_drifting(project, drifting)] if drifting else []
    if user.has_perm(roles.TRAIN) and not has_checklist:
        steps += _training(project, live)
    steps += _reviewing(project, waiting)
    steps += _checking(project)
    if user.has_perm(roles.MANAGE_CATEGORIES) and not has_checklist:
        steps += _categories(project, suggested, sizes)
    return steps[:MOST_STEPS]


def _drifting(project: Project, episode: DriftEpisode) -> NextStep:
    titles = {
        DriftMeasure.OK_RATE: _("The OK rate has fallen from %(before)s to %(now)s"),
        DriftMeasure.SCORES: _("The model is not as sure of its answers as it was"),
        DriftMeasure.FAMILIARITY: _("What is sent is not as familiar to the model as it was"),
    }
    title = titles[DriftMeasure(episode.measure)] % {
        "before": percent(episode.before),
        "now": percent(episode.now),
    }
    if episode.condition:
        title = f"{condition_name(episode.condition)} {episode.value}: {title}"
    return NextStep(
        "warn",
        title,
        _("Since the live version was promoted, beyond chance. See what changed, then train."),
        _("See the drift"),
        "#drift",
        "nok",
    )


def _training(project: Project, live: ModelVersion | None) -> Iterator[NextStep]:
    train = reverse("training:project", args=[project.slug])
    newest = TrainingRun.objects.filter(project=project).select_related("model_version").first()
    if newest and newest.is_active:
        yield NextStep(
            "flask",
            _("A run is under way"),
            _("It says here what came of it when it has ended."),
            _("Follow it"),
            reverse("training:run", args=[newest.pk]),
            "hot",
        )
        return
    if newest and newest.status == TrainingRun.Status.FAILED:
        yield NextStep(
            "warn",
            _("The last run failed"),
            newest.error,
            _("See why"),
            reverse("training:run", args=[newest.pk]),
            "nok",
        )
    candidate = newest.model_version if newest else None
    if candidate and candidate != live and (live is None or candidate.number > live.number):
        yield NextStep(
            "layers",
            _("Version %(number)d waits for your word") % {"number": candidate.number},
            newest.outcome if newest else "",
            _("See version %(number)d") % {"number": candidate.number},
            reverse("training:run", args=[newest.pk if newest else 0]),
            "hot",
        )
    labels = retraining.count_new_labels(project)
    if newest is None:
        if labels >= 2 * MIN_PICTURES:
            yield NextStep(
                "flask",
                ngettext("%(count)d label is there", "%(count)d labels are there", labels)
                % {"count": labels},
                _("Enough for a first model. A run takes a minute or two."),
                _("Train version 1"),
                train,
                "hot",
            )
    elif labels:
        yield NextStep(
            "flask",
            ngettext(
                "%(count)d new label since the last run",
                "%(count)d new labels since the last run",
                labels,
            )
            % {"count": labels},
            _("A run learns from them, and tells whether the new model is better."),
            _("Train a new version"),
            train,
            "hot",
        )


def _reviewing(project: Project, waiting: list[WaitingSamples]) -> Iterator[NextStep]:
    queue = f"{reverse('review:queue')}?project={project.slug}"
    urgent = sum(each.shown for each in waiting if each.reason in URGENT)
    others = sum(each.shown for each in waiting if each.reason not in URGENT)
    if urgent:
        yield NextStep(
            "inbox",
            ngettext(
                "%(count)d verdict waits for review", "%(count)d verdicts wait for review", urgent
            )
            % {"count": urgent},
            _("People said NOK or were not sure. What you decide is what the next model learns."),
            ngettext("Review %(count)d", "Review %(count)d", urgent) % {"count": urgent},
            queue,
            "nok",
        )
    if others:
        shown = min(others, MOST_WAITING)
        yield NextStep(
            "ask",
            ngettext(
                "The model was in doubt about %(count)d sample",
                "The model was in doubt about %(count)d samples",
                shown,
            )
            % {"count": shown},
            _("Labels of these teach it more than labels of others."),
            ngettext("Review %(count)d", "Review %(count)d", shown) % {"count": shown},
            queue,
            "unsure",
        )


def _checking(project: Project) -> Iterator[NextStep]:
    if doubts := label_check.open_doubts(project).count():
        yield NextStep(
            "flag",
            ngettext("%(count)d label looks wrong", "%(count)d labels look wrong", doubts)
            % {"count": doubts},
            _("Samples like them are labelled otherwise. Keep or correct each."),
            ngettext("Check %(count)d", "Check %(count)d", doubts) % {"count": doubts},
            reverse("training:labels", args=[project.slug]),
            "unsure",
        )


def _categories(
    project: Project, suggested: list[SuggestedName], sizes: Mapping[str, int]
) -> Iterator[NextStep]:
    address = reverse("training:categories", args=[project.slug])
    count = project.categories.count()
    if count < 2:
        yield NextStep(
            "tag",
            _("A model needs two categories") if count else _("There is no category yet"),
            _("Add them with some pictures each, or choose those that are known beforehand."),
            _("Add categories"),
            address,
            "hot",
        )
    for each in suggested[:1]:
        yield NextStep(
            "spark",
            _("People say “%(name)s”, which is no category yet") % {"name": each.name},
            ngettext("%(count)d time lately.", "%(count)d times lately.", each.count)
            % {"count": each.count},
            _("Add category…"),
            f"{address}?{urlencode({'name': each.name})}",
        )
    if count > FEW_CATEGORIES:
        return
    few = sorted(
        (sizes[each.name], each.name, each.pk)
        for each in project.categories.all()
        if sizes.get(each.name, ENOUGH_PICTURES) < ENOUGH_PICTURES
    )
    for size, name, pk in few[:2]:
        missing = ENOUGH_PICTURES - size
        yield NextStep(
            "images",
            ngettext("%(name)s has %(count)d sample", "%(name)s has %(count)d samples", size)
            % {"name": name, "count": size},
            ngettext("%(count)d more would help it.", "%(count)d more would help it.", missing)
            % {"count": missing},
            _("Add samples"),
            reverse("training:pictures", args=[pk]),
        )
