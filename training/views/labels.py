"""The pages about labels, for reviewers: which are likely wrong, twins, how reviewers agree."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.errors import InvalidInput
from common.numbers import natural_number
from common.pagination import keyset_page
from predictions.models import Project
from review import agreement, second_opinions
from training.data import contradictions, datasets, near_duplicates
from training.evaluation import label_check

AT_ONCE = 20  # doubtful labels; judged ones make room for the next
PAGE = 20  # pairs


@require_GET
@may(roles.REVIEW)
def doubtful_labels(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the labels that are likely to be wrong, the worst first, each with its evidence."""
    project = get_object_or_404(Project, slug=slug)
    doubts = label_check.open_doubts(project)
    context = {
        "project": project,
        "check": label_check.newest_check(project),
        "doubts": doubts[:AT_ONCE],
        "waiting": doubts.count(),
    }
    return render(request, "training/doubtful_labels.html", context)


@require_POST
@may(roles.REVIEW)
def judge_label(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Keep a doubted label, or correct it."""
    project = get_object_or_404(Project, slug=slug)
    reviewer = authenticated_user(request)
    match request.POST.get("verdict"):
        case "keep":
            doubt = label_check.keep_label(project, pk, by=reviewer)
            sentence = _("“%(category)s” is right, and will not be doubted again.")
            messages.success(request, sentence % {"category": doubt.decision.category})
        case "correct":
            doubt = label_check.correct_label(project, pk, by=reviewer)
            sentence = _("Labelled as %(category)s.")
            messages.success(request, sentence % {"category": doubt.suggested})
        case _:
            raise InvalidInput(_("Say whether the label is right."))
    return redirect("training:labels", project.slug)


@require_GET
@may(roles.REVIEW)
def twins(request: HttpRequest, slug: str) -> HttpResponse:
    """Show near duplicates side by side, all or those whose labels differ."""
    project = get_object_or_404(Project, slug=slug)
    differing = contradictions.contradictions_of(project)
    only_differing = request.GET.get("show") == "differing"
    pairs = contradictions.with_labels(near_duplicates.pairs_of(project))
    page = keyset_page(
        differing if only_differing else pairs,
        after=natural_number(request.GET.get("before", "")),
        size=PAGE,
    )
    context = {
        "project": project,
        "page": page,
        "only_differing": only_differing,
        "differing": differing.count(),
        "uncompared": datasets.uncompared_samples(project).count(),
        "is_first_page": "before" not in request.GET,
    }
    return render(request, "training/twins.html", context)


@require_POST
@may(roles.REVIEW)
def apart(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Note that two samples are not the same."""
    project = get_object_or_404(Project, slug=slug)
    near_duplicates.declare_apart(project, pk, by=authenticated_user(request))
    messages.success(request, _("These two no longer count as the same."))
    return redirect("training:twins", project.slug)


@require_GET
@may(roles.REVIEW)
def reviewer_agreement(request: HttpRequest, slug: str) -> HttpResponse:
    """Show how far two reviewers agree who did not see each other's decisions."""
    project = get_object_or_404(Project, slug=slug)
    whole, pairs = agreement.project_agreement(project)
    context = {
        "project": project,
        "whole": whole,
        "pairs": pairs,
        "disagreements": second_opinions.disagreements(project)[:PAGE],
    }
    return render(request, "training/agreement.html", context)
