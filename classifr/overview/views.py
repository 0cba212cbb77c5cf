"""The overview of a project, for those who review or train."""

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import roles
from accounts.permissions import authenticated_user, may
from classifr.new_project.checklist import checklist
from classifr.overview import charts, drift_panel, figures
from classifr.overview.next_steps import next_steps
from predictions.models import Project, Promotion
from training.models import DatasetVersion, DriftEpisode, TrainingRun
from training.runs import outlook

MOST_LATELY = 6


@require_safe
@login_required
def overview(request: HttpRequest, slug: str) -> HttpResponse:
    """Show what helps the project most now, and how it is doing; others go on to classify."""
    project = get_object_or_404(Project, slug=slug)
    user = authenticated_user(request)
    if not user.has_perm(roles.VIEW_SAMPLES):
        if not user.has_perm(roles.CLASSIFY):
            raise PermissionDenied
        return redirect(project)
    promotion = figures.newest_promotion(project)
    live = promotion.model_version if promotion else None
    dataset = DatasetVersion.objects.filter(project=project).first()
    days = figures.last_days(project)
    week, month = figures.ok_rate(days[-figures.WEEK :]), figures.ok_rate(days)
    waiting, suggested = figures.waiting(project), figures.suggested_names(project)
    sizes = figures.category_sizes(project, dataset)
    promotions = list(
        Promotion.objects.filter(project=project)
        .select_related("model_version", "promoted_by")
        .order_by("-pk")[:MOST_LATELY]
    )
    may_begin = live is None and user.has_perm(roles.MANAGE_CATEGORIES)
    first_steps = checklist(project) if may_begin else []
    steps = next_steps(
        project,
        user,
        live=live,
        waiting=waiting,
        suggested=suggested,
        sizes=sizes,
        drifting=DriftEpisode.objects.present(project).filter(alarmed_at__isnull=False).first(),
        has_checklist=may_begin,
    )
    context = {
        "project": project,
        "live": live,
        "promotion": promotion,
        "steps": steps,
        "checklist": first_steps,
        "week": week,
        "month": month,
        "ok_spark": charts.spark([figures.ok_rate([day]).rate for day in days]),
        "waiting": waiting,
        "waiting_count": sum(each.shown for each in waiting),
        "is_more_waiting": any(each.is_more for each in waiting),
        "per_day": figures.per_day(days),
        "per_day_spark": charts.spark([float(day.predictions) for day in days]),
        "answers": sum(day.predictions for day in days),
        "without_answer": _without_answer(days),
        "chart": charts.days_chart(days, promotions),
        "days": days,
        "drift": drift_panel.drift_rows(promotion) if promotion else [],
        "pairs": figures.confused_pairs(project),
        "categories": figures.category_figures(sizes, live),
        "category_count": len(sizes),
        "suggested": suggested,
        "promotions": promotions,
        "outlook_run": outlook.newest_with_outlook(project),
        "last_run": TrainingRun.objects.filter(project=project).first(),
    }
    return render(request, "overview/overview.html", context)


@require_safe
@may(roles.VIEW_SAMPLES)
@never_cache
def card(request: HttpRequest, slug: str) -> HttpResponse:
    """Show on the start page what a project is of, and how it is doing."""
    project = get_object_or_404(Project, slug=slug)
    context = {
        "project": project,
        "cover": [] if project.is_of_texts else figures.cover(project),
        "month": figures.ok_rate(figures.last_days(project)),
    }
    return render(request, "overview/_card.html", context)


def _without_answer(days: list[figures.DailyFigures]) -> dict[str, float | None]:
    """Return the shares of answers that were withheld in the last weeks, and why."""
    answers = sum(day.predictions for day in days)
    if not answers:
        return {"all": None, "unfamiliar": None, "unsure": None}
    abstained, unfamiliar = (sum(getattr(d, n) for d in days) for n in ("abstained", "unfamiliar"))
    return {
        "all": abstained / answers,
        "unfamiliar": unfamiliar / answers,
        "unsure": (abstained - unfamiliar) / answers,
    }
