"""The pages about data set versions, for maintainers: what one holds, and how two differ."""

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.functional import Promise
from django.utils.http import content_disposition_header
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from accounts import roles
from accounts.permissions import may
from common.numbers import natural_number
from predictions.models import Project
from training.data import dataset_diff, dataset_export, datasets, formats
from training.data.dataset_diff import Change
from training.evaluation import paired_answers
from training.models import DatasetVersion

FIXED, BROKE = "fixed", "broke"  # beside the changes: answers that flipped
TABS: dict[str, Promise] = {
    Change.ADDED: _("Added"),
    Change.REMOVED: _("Removed"),
    Change.RELABELLED: _("Relabelled"),
    Change.MOVED: _("Moved to another split"),
    FIXED: _("Answer fixed"),
    BROKE: _("Answer broken"),
}


@require_GET
@may(roles.TRAIN)
def dataset(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what a data set version holds, and what changed since the one before."""
    version = get_object_or_404(
        DatasetVersion.objects.select_related("project", "created_by"), pk=pk
    )
    earlier = datasets.previous_version(version)
    counts = datasets.category_counts(version)
    context = {
        "dataset": version,
        "project": version.project,
        "rows": [
            (name, [splits[split] for split in datasets.Split.values])
            for name, splits in counts.items()
        ],
        "totals": datasets.split_totals(version),
        "vectors_only": datasets.count_vectors_only(version),
        "left_out": datasets.left_out_sentences(version),
        "split_sentences": datasets.split_sentences(version),
        "leaking": datasets.leaking_samples(version),
        "formats": formats.formats_for(version.project),
        "earlier": earlier,
        "diff": dataset_diff.count_changes(earlier, version) if earlier else None,
        "runs": version.runs.select_related("model_version"),
    }
    return render(request, "training/dataset.html", context)


@require_GET
@may(roles.TRAIN)
def export(request: HttpRequest, pk: int, alias: str) -> StreamingHttpResponse:
    """Send a data set version in a format, piece by piece."""
    version = get_object_or_404(DatasetVersion.objects.select_related("project"), pk=pk)
    chunks = dataset_export.export_dataset(version, alias)
    name = dataset_export.file_name(version.project, alias, version.number)
    response = StreamingHttpResponse(chunks, content_type=formats.FORMATS[alias].media_type)
    response["Content-Disposition"] = content_disposition_header(True, name)
    return response


@require_GET
@may(roles.TRAIN)
def difference(request: HttpRequest, slug: str) -> HttpResponse:
    """Show how two data set versions differ, sample by sample, and which answers flipped."""
    project = get_object_or_404(Project, slug=slug)
    versions = list(project.datasets.all())
    by_number = {version.number: version for version in versions}
    newer = _chosen(request, "newer", by_number, versions[0] if versions else None)
    earlier = datasets.previous_version(newer) if newer else None
    older = _chosen(request, "older", by_number, earlier or newer)
    context: dict[str, Any] = {"project": project, "versions": versions}
    if older and newer:
        context |= _difference(request, older, newer)
    return render(request, "training/difference.html", context)


def _difference(
    request: HttpRequest, older: DatasetVersion, newer: DatasetVersion
) -> dict[str, Any]:
    counts = dataset_diff.count_changes(older, newer)
    pair = paired_answers.pair_datasets(older, newer)
    flips: dict[str, list[int]] = {FIXED: [], BROKE: []}
    if pair:
        flips = {FIXED: pair.fixed, BROKE: pair.broke}
    changed = dataset_diff.changed_test_samples(older, newer) if pair else set()
    numbers = vars(counts) | {kind: len(samples) for kind, samples in flips.items()}
    kind = str(request.GET.get("kind", ""))
    if kind not in TABS:
        kind = next((each for each in TABS if numbers[each]), str(Change.ADDED))
    after = natural_number(request.GET.get("after", ""))
    page = (
        dataset_diff.sample_page(older, newer, flips[kind], after=after)
        if kind in flips
        else dataset_diff.change_page(older, newer, Change(kind), after=after)
    )
    chosen = {"older": older.number, "newer": newer.number, "kind": kind}
    return {
        "older": older,
        "newer": newer,
        "pair": pair,
        "tabs": [
            (each, title, numbers[each], urlencode(chosen | {"kind": each}))
            for each, title in TABS.items()
        ],
        "kind": kind,
        "title": TABS[kind],
        "rows": [(row, pair.flip_of(row.sample.pk) if pair else "") for row in page.rows],
        "first": urlencode(chosen) if after is not None else "",
        "following": urlencode(chosen | {"after": page.next_key}) if page.next_key else "",
        "fixed_among": paired_answers.among(flips[FIXED], changed),
        "broke_among": paired_answers.among(flips[BROKE], changed),
    }


def _chosen(
    request: HttpRequest,
    name: str,
    by_number: dict[int, DatasetVersion],
    default: DatasetVersion | None,
) -> DatasetVersion | None:
    """Return the version that the address names; Http404 for one that does not exist."""
    if not (text := request.GET.get(name)):
        return default
    number = natural_number(text)
    version = by_number.get(number) if number is not None else None
    if version is None:
        raise Http404
    return version
