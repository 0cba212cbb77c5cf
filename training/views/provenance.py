"""The pages about provenance: from an answer back to its data, and from a label on to answers."""

from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.htmx import HtmxRequest
from common.numbers import natural_number
from common.pagination import keyset_page
from predictions.models import Category, Sample
from training.data.dataset_diff import PAGE
from training.models import DatasetVersion
from training.provenance import answers, labels


@require_GET
@may(roles.CLASSIFY)
def origin(request: HtmxRequest, uuid: UUID) -> HttpResponse:
    """Show where an answer comes from, to whose it is and to reviewers.

    The part with the nearest training samples asks again until a worker has found them.
    """
    user = authenticated_user(request)
    found = answers.traceable_by(user).select_related(
        "project", "sample", "model_version__project", "stood_in_for", "top", "user"
    )
    traced = answers.trace_answer(get_object_or_404(found, uuid=uuid), by=user)
    context = {
        "origin": traced,
        "prediction": traced.prediction,
        "project": traced.prediction.project,
        "sees_all": user.has_perm(roles.REVIEW),
    }
    template = "training/_nearest.html" if request.htmx else "training/origin.html"
    return render(request, template, context)


@require_GET
@may(roles.TRAIN)
def sample_uses(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Show which data sets held a sample, under which labels, and what their models answered."""
    sample = get_object_or_404(Sample.objects.select_related("project"), uuid=uuid)
    uses = labels.trace_sample(sample)
    before = natural_number(request.GET.get("before", ""))
    page = labels.answer_page(uses.misled, before=before) if uses.misled else None
    context = {
        "sample": sample,
        "project": sample.project,
        "uses": uses,
        "count": labels.answers_of(uses.misled).count() if page else 0,
        "page": page,
        "first": "before=#answers" if before is not None else "",
        "following": f"before={page.next_key}#answers" if page and page.next_key else "",
    }
    return render(request, "training/sample_uses.html", context)


@require_GET
@may(roles.TRAIN)
def misled_answers(request: HttpRequest, uuid: UUID) -> StreamingHttpResponse:
    """Serve the answers of all versions that learned a wrong label of a sample, as CSV."""
    sample = get_object_or_404(Sample, uuid=uuid)
    versions = labels.trace_sample(sample).misled
    response = StreamingHttpResponse(
        labels.answer_lines(versions), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="answers-{sample.uuid}.csv"'
    return response


@require_GET
@may(roles.TRAIN)
def overruled(request: HttpRequest, pk: int) -> HttpResponse:
    """List the samples of a data set version whose labels were decided otherwise since."""
    dataset = get_object_or_404(DatasetVersion.objects.select_related("project"), pk=pk)
    after = natural_number(request.GET.get("after", ""))
    items = labels.overruled_items(dataset)
    page = keyset_page(
        items.select_related("sample", "category"), after=after, size=PAGE, key="sample_id"
    )
    names = dict(Category.everywhere.filter(project=dataset.project).values_list("pk", "name"))
    context = {
        "dataset": dataset,
        "project": dataset.project,
        "count": items.count(),
        "rows": [(item, names.get(item.category_now, "")) for item in page.rows],  # type: ignore[attr-defined]
        "first": "after=" if after is not None else "",
        "following": urlencode({"after": page.next_key}) if page.next_key else "",
    }
    return render(request, "training/overruled.html", context)
