"""What is done with many samples at once: label, discard, send to review; and undoing it.

A few are done in the request. Many are done by a worker, chunk by chunk, along the same pages that
somebody looked at. Each sample gets a decision row of its own, under the rules of the review: what
somebody else decides meanwhile or has on the screen is left to them, and the sentence says how many
those were. All decisions of one act have its number, by which they are undone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from classifr.gallery import pages
from classifr.gallery.filters import GalleryFilters
from classifr.gallery.forms import GalleryForm
from common import jobs
from common.errors import Conflict, InvalidInput
from common.models import Job
from common.numbers import natural_number
from common.progress import Progress
from common.tasks import task
from predictions import categories
from predictions.models import Category, Project, Sample
from review import decisions, undo
from review.models import Decision

MOST_CHOSEN = 500  # one by one
AT_ONCE = 200  # in a request, of all that fit
CHUNK = 100  # in one transaction
LABEL, DISCARD, REVIEW = "label", "discard", "review"


@dataclass(frozen=True)
class Act:
    """What to do with samples; `category` exactly where they are labelled."""

    kind: str
    category: Category | None = None


@dataclass(frozen=True)
class Done:
    """What an act came to; `job`: a worker goes on with it."""

    sentence: str
    batch: UUID
    can_undo: bool
    job: Job | None = None


def parse_act(project: Project, ruling: str, name: str = "") -> Act:
    """Read what a button says: `category:<key>`, `name`, `discard` or `review`.

    Raises:
        InvalidInput: there is no such button or category, or the name is not valid.
    """
    kind, _colon, key = ruling.partition(":")
    if kind in (DISCARD, REVIEW):
        return Act(kind)
    if kind == "name":
        return Act(LABEL, categories.add_category(project, name)[0])
    number = natural_number(key) if kind == "category" else None
    category = project.categories.filter(pk=number).first() if number else None
    if category is None:
        raise InvalidInput(_("This category no longer exists. Choose another one."))
    return Act(LABEL, category)


def check_chosen(chosen: Mapping[UUID, int]) -> None:
    """Raise InvalidInput if none or too many were chosen, before a category is made for them."""
    if not chosen:
        raise InvalidInput(_("Choose at least one sample first."))
    if len(chosen) > MOST_CHOSEN:
        sentence = _("At most %(limit)d are taken one by one. Choose all that match instead.")
        raise InvalidInput(sentence % {"limit": MOST_CHOSEN})


def act_on_chosen(project: Project, chosen: Mapping[UUID, int], act: Act, *, by: User) -> Done:
    """Do something with samples that somebody ticked.

    Args:
        chosen: the decision that each was shown with, or 0.

    Raises:
        InvalidInput: none or too many were chosen.
    """
    check_chosen(chosen)
    samples = list(Sample.objects.filter(project=project, uuid__in=list(chosen)))
    if not samples:
        raise InvalidInput(_("Choose at least one sample first."))
    seen = {sample.pk: chosen[sample.uuid] for sample in samples}
    batch, done = uuid4(), 0
    for start in range(0, len(samples), CHUNK):
        done += _do(act, samples[start : start + CHUNK], seen, batch=batch, by=by)
    return Done(_sentence(act, done, len(samples)), batch, act.kind != REVIEW and done > 0)


def act_on_matching(wanted: GalleryFilters, query: str, act: Act, *, by: User) -> Done:
    """Do something with all samples that fit; a worker does it where they are many.

    Args:
        query: the filters as an address has them, for the worker.

    Raises:
        InvalidInput: none fits.
    """
    newest = Decision.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    page = pages.find_page(wanted, size=AT_ONCE)
    if page.next_key is not None:
        batch = uuid4()
        job = act_later.using(key=_key(batch)).enqueue(
            project=wanted.project.pk,
            query=query,
            kind=act.kind,
            category=act.category.pk if act.category else None,
            user=by.pk,
            batch=str(batch),
            newest=newest,
        )
        return Done(_("A worker does it now. You can go on meanwhile."), batch, False, job)
    if not page.samples:
        raise InvalidInput(_("Nothing matches these filters any more."))
    batch = uuid4()
    seen = _seen(page.samples, wanted, newest)
    done = 0
    for start in range(0, len(page.samples), CHUNK):
        done += _do(act, page.samples[start : start + CHUNK], seen, batch=batch, by=by)
    return Done(_sentence(act, done, len(page.samples)), batch, act.kind != REVIEW and done > 0)


@task("gallery.act", title=gettext_lazy("Label many samples"), keeps_language=True)
def act_later(
    progress: Progress,
    project: int,
    query: str,
    kind: str,
    category: int | None,
    user: int,
    batch: str,
    newest: int,
) -> None:
    """Do something with all samples that fit; done twice, it does nothing more."""
    subject = Project.objects.filter(pk=project).first()
    by = User.objects.filter(pk=user).first()
    shown = Category.objects.filter(pk=category).first() if category else None
    if subject is None or by is None or (kind == LABEL and shown is None):
        return  # what it was about is gone
    wanted = GalleryForm(subject, QueryDict(query)).filters()
    count = pages.count_samples(wanted)
    total, looked, done = count.number if count else 0, 0, 0
    for samples in pages.all_pages(wanted, size=CHUNK):
        seen = _seen(samples, wanted, newest)
        done += _do(Act(kind, shown), samples, seen, batch=UUID(batch), by=by)
        looked += len(samples)
        progress(looked, max(total, looked), _sentence(Act(kind, shown), done, looked))


@task("gallery.undo", title=gettext_lazy("Undo many decisions"))
def undo_later(batch: str, user: int) -> None:
    by = User.objects.filter(pk=user).first()
    while by and undo.undo_batch(UUID(batch), by=by, most=CHUNK):
        pass


def undo_act(batch: UUID, *, by: User) -> Done:
    """Undo what the reviewer did at once: what was decided before counts again.

    Raises:
        Conflict: a worker is still at it, or nothing is left to undo.
    """
    if jobs.is_active(_key(batch)):
        raise Conflict(_("A worker is still at it. Undo it when it is done."))
    count = 0
    while count < AT_ONCE and (undone := undo.undo_batch(batch, by=by, most=CHUNK)):
        count += undone
    if not count:
        raise Conflict(_("You have nothing left to undo."))
    sentence = ngettext("%(count)d decision undone.", "%(count)d decisions undone.", count)
    job = None
    if Decision.objects.in_force().filter(batch=batch, reviewer=by).exists():
        sentence = _("The first %(count)d decisions are undone, a worker does the rest.")
        job = undo_later.enqueue(batch=str(batch), user=by.pk)
    return Done(sentence % {"count": count}, batch, False, job)


def job_of(batch: UUID, *, by: User) -> Job | None:
    """Return the work on an act that the user asked for."""
    found = Job.objects.filter(kind=act_later.kind, key=_key(batch), payload__user=by.pk)
    return found.order_by("-pk").first()


def samples_of(batch: UUID, *, by: User) -> list[Sample]:
    """Return the samples of an act, as far as a page can show them anew."""
    made = Decision.objects.filter(batch=batch, reviewer=by).values("sample")
    return list(Sample.objects.filter(pk__in=made).select_related("project")[:MOST_CHOSEN])


def _do(
    act: Act, samples: Sequence[Sample], seen: Mapping[int, int], *, batch: UUID, by: User
) -> int:
    if act.kind == REVIEW:
        return decisions.send_to_review(samples, by=by)
    return len(decisions.decide_each(samples, act.category, by=by, seen=seen, batch=batch))


def _seen(samples: Sequence[Sample], wanted: GalleryFilters, newest: int) -> dict[int, int]:
    """Return the decisions that somebody knew of who asked for these samples.

    Whoever says what was decided about them knows it, up to when they asked; of samples that they
    have not looked at nobody knows anything else.
    """
    if not wanted.name_decisions:
        return {}
    return {
        sample: decision.pk
        for sample, decision in decisions.latest_decisions(samples).items()
        if decision.pk <= newest
    }


def _key(batch: UUID) -> str:
    return f"gallery-{batch}"


def _sentence(act: Act, done: int, wanted: int) -> str:
    counts = {"count": done}
    if act.kind == REVIEW:
        said = ngettext(
            "%(count)d sample sent to review.", "%(count)d samples sent to review.", done
        )
    elif act.category:
        said = ngettext(
            "%(count)d sample labelled as %(category)s.",
            "%(count)d samples labelled as %(category)s.",
            done,
        )
    else:
        said = ngettext("%(count)d sample discarded.", "%(count)d samples discarded.", done)
    said %= counts | {"category": act.category.name if act.category else ""}
    if done == wanted:
        return said
    if act.kind == REVIEW:
        left = ngettext(
            "%(count)d was sent there before.", "%(count)d were sent there before.", wanted - done
        )
    else:
        left = ngettext(
            "%(count)d was decided by somebody else, or is being reviewed.",
            "%(count)d were decided by somebody else, or are being reviewed.",
            wanted - done,
        )
    return f"{said} {left % {'count': wanted - done}}"
