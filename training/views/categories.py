"""The pages about categories, for maintainers: what there is to learn from; add, order, merge."""

from collections import Counter
from collections.abc import Sequence

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, F, Q, Window
from django.db.models.functions import RowNumber
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.errors import DomainError, InvalidInput
from common.media.upload_handlers import read_upload
from common.names import comparison_key
from predictions import categories as naming
from predictions.models import Category, Project, Sample
from review import ground_truth
from training.data import known_categories, picture_import, text_import
from training.data.datasets import MIN_PICTURES, VECTORS_ONLY
from training.data.picture_import import ImportReport
from training.forms import (
    ADD_FORMS,
    SAMPLE_FORMS,
    LabelledTextsForm,
    PicturesForm,
    RenameForm,
    TextsForm,
)
from training.lifecycle import category_removal

THUMBNAILS = 6
PAGE = 50  # categories
MOST_OFFERED = 500  # names to merge into; any other can be typed


@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.MANAGE_CATEGORIES)
def categories(request: HttpRequest, slug: str) -> HttpResponse:
    """List the categories with their pictures; add one."""
    project = get_object_or_404(Project, slug=slug)
    add_form = ADD_FORMS[project.modality]
    has_texts = project.modality == Project.Modality.TEXT
    suggested = {"name": request.GET.get("name", "").replace("\0", "")}
    form = add_form(request.POST or None, request.FILES or None, initial=suggested)
    labelled = LabelledTextsForm() if has_texts else None
    report = None
    status = 200
    if request.method == "POST" and has_texts and "import" in request.POST:
        form, labelled = add_form(), LabelledTextsForm(request.POST, request.FILES)
        report, status = _import_labelled(request, project, labelled)
    elif request.method == "POST":
        status = 400
        if form.is_valid():
            data = form.cleaned_data
            try:
                if form.has_samples and len(data["name"]) > 1:
                    raise InvalidInput(
                        _("Samples belong to one category. Give one name, or import folders.")
                    )
                if form.has_samples:
                    category, is_new = naming.add_category(
                        project, data["name"][0], data["description"]
                    )
                    _tell_added(request, data["name"], [category] if is_new else [])
                    found = _import(request, category, form)
                    more = SAMPLE_FORMS[project.modality]()
                    return _show_pictures(request, category, more, found)
                added = naming.add_categories(project, data["name"], data["description"])
                _tell_added(request, data["name"], added)
                return redirect("training:categories", project.slug)
            except DomainError as error:
                form.add_error(None, str(error))
                status = error.status
    # PostgreSQL cannot even look for a NUL
    search = request.GET.get("search", "").replace("\0", "")
    wanted = project.categories.filter(name_key__contains=comparison_key(search))
    page = Paginator(wanted, PAGE).get_page(request.GET.get("page"))
    context = {
        "project": project,
        "rows": _rows(project, list(page)),
        "page": page,
        "search": search,
        "moved": request.GET.get("moved", ""),
        "all_names": list(project.categories.values_list("name", flat=True)[:MOST_OFFERED]),
        "form": form,
        "labelled_form": labelled,
        "report": report,
        "fewest": MIN_PICTURES,
        "most_files": settings.UPLOAD_BATCH_MAX_FILES,
    }
    return render(request, "training/categories.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.MANAGE_CATEGORIES)
def category_pictures(request: HttpRequest, pk: int) -> HttpResponse:
    """Import more pictures of a category, and show what became of each."""
    category = _category(pk)
    sample_form = SAMPLE_FORMS[category.project.modality]
    form = sample_form(request.POST or None, request.FILES or None)
    report, status = None, 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                report = _import(request, category, form)
                form, status = sample_form(), 200
            except InvalidInput as error:
                form.add_error(None, str(error))
    return _show_pictures(request, category, form, report, status)


@require_POST
@may(roles.MANAGE_CATEGORIES)
def rename_category(request: HttpRequest, pk: int) -> HttpResponse:
    category = _category(pk)
    form = RenameForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("Please give a name of at most 100 characters."))
    before = category.name
    naming.rename_category(category, form.cleaned_data["name"])
    messages.success(
        request,
        _("“%(before)s” was renamed to “%(now)s”.") % {"before": before, "now": category.name},
    )
    return redirect("training:categories", category.project.slug)


@require_POST
@may(roles.MANAGE_CATEGORIES)
def move_category(request: HttpRequest, pk: int) -> HttpResponse:
    """Move a category one place up or down, wherever categories are listed."""
    category = _category(pk)
    to = "up" if request.POST.get("to") == "up" else "down"
    naming.move_category(category, by=-1 if to == "up" else 1)
    return _back_to(category, button=f"{to}-{category.pk}")


@require_POST
@may(roles.MANAGE_CATEGORIES)
def merge_category(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a category part of another one, which is given by its name."""
    category = _category(pk)
    into = naming.find_category(category.project, request.POST.get("into", "").replace("\0", ""))
    if into is None:
        raise InvalidInput(_("There is no category of this name. Choose one of the project."))
    is_going_on = category_removal.merge_category(
        category, into=into, by=authenticated_user(request)
    )
    sentence = _("“%(name)s” is part of “%(other)s” now. The next model learns them as one.")
    if is_going_on:
        sentence = _(
            "“%(name)s” is becoming part of “%(other)s”. With many samples it takes a while."
        )
    messages.success(request, sentence % {"name": category.name, "other": into.name})
    return redirect("training:categories", category.project.slug)


@require_POST
@may(roles.MANAGE_CATEGORIES)
def delete_category(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a category; its samples lose the label."""
    category = _category(pk)
    project = category.project
    is_going_on = category_removal.delete_category(category, by=authenticated_user(request))
    sentence = _("The category “%(name)s” was deleted.")
    if is_going_on:
        sentence = _(
            "The category “%(name)s” is being deleted. With many samples it takes a while."
        )
    messages.success(request, sentence % {"name": category.name})
    return redirect("training:categories", project.slug)


def _category(pk: int) -> Category:
    return get_object_or_404(Category.objects.select_related("project"), pk=pk)


def _back_to(category: Category, *, button: str) -> HttpResponse:
    """Return to a category in the list, on the page that it is on, with the focus on a button."""
    keys = list(category.project.categories.values_list("pk", flat=True))
    page = keys.index(category.pk) // PAGE + 1 if category.pk in keys else 1
    address = reverse("training:categories", args=[category.project.slug])
    return redirect(f"{address}?page={page}&moved={button}")


def _tell_added(request: HttpRequest, names: Sequence[str], added: Sequence[Category]) -> None:
    if len(names) > 1:
        sentence = ngettext(
            "%(count)d category was added.", "%(count)d categories were added.", len(added)
        )
        messages.success(request, sentence % {"count": len(added)})
    elif added:
        messages.success(request, _("The category “%(name)s” was added.") % {"name": added[0].name})
    else:
        messages.info(request, _("The category “%(name)s” already exists.") % {"name": names[0]})


def _show_pictures(
    request: HttpRequest,
    category: Category,
    form: PicturesForm | TextsForm,
    report: ImportReport | None,
    status: int = 200,
) -> HttpResponse:
    vectors_only = ground_truth.samples_showing(category).filter(VECTORS_ONLY)
    context = {
        "category": category,
        "project": category.project,
        "form": form,
        "report": report,
        "vectors_only": vectors_only.count(),
        "warning": picture_import.few_pictures_warning(category),
        "most_files": settings.UPLOAD_BATCH_MAX_FILES,
    }
    return render(request, "training/pictures.html", context, status=status)


def _import(
    request: HttpRequest, category: Category, form: PicturesForm | TextsForm
) -> ImportReport:
    report = form.import_into(category, by=authenticated_user(request))
    _tell_count(request, category.project, report)
    return report


def _import_labelled(
    request: HttpRequest, project: Project, form: LabelledTextsForm
) -> tuple[ImportReport | None, int]:
    """Import a file whose texts name their categories; return the report and the status."""
    if not form.is_valid():
        return None, 400
    file = form.cleaned_data["labelled"]
    try:
        report = text_import.import_sent_file(
            project, None, file.name, read_upload(file), by=authenticated_user(request)
        )
    except DomainError as error:
        form.add_error(None, str(error))
        return None, error.status
    _tell_count(request, project, report)
    return report, 200


def _tell_count(request: HttpRequest, project: Project, report: ImportReport) -> None:
    count = report.total_added
    if project.modality == Project.Modality.TEXT:
        sentence = ngettext("%(count)d text added.", "%(count)d texts added.", count)
    else:
        sentence = ngettext("%(count)d picture added.", "%(count)d pictures added.", count)
    (messages.success if count else messages.warning)(request, sentence % {"count": count})


def _rows(project: Project, page: Sequence[Category]) -> list[dict[str, object]]:
    """Return each category with how many pictures show it, and the newest ones: three queries."""
    labelled = ground_truth.labelled_samples(project).filter(
        true_category_id__in=[category.pk for category in page]  # type: ignore[misc]
    )
    by_category = labelled.order_by().values_list("true_category_id")  # type: ignore[misc]
    counted = by_category.annotate(count=Count("pk"), vectors_only=Count("pk", filter=VECTORS_ONLY))
    counts = {key: (count, vectors_only) for key, count, vectors_only in counted}
    also = Counter(
        key for keys in ground_truth.additional_categories(project).values() for key in keys
    )
    # The newest few of every category in one query, however many there are
    rank = Window(RowNumber(), partition_by=F("true_category_id"), order_by=F("pk").desc())
    newest: dict[int, list[Sample]] = {}
    for sample in (
        labelled.filter(~Q(location=Sample.Location.NOWHERE) | VECTORS_ONLY)
        .annotate(rank=rank)
        .filter(rank__lte=THUMBNAILS)
    ):
        newest.setdefault(sample.true_category_id, []).append(sample)  # type: ignore[attr-defined]
    known = known_categories.known_classes(project)
    rows = []
    for category in page:
        count, vectors_only = counts.get(category.pk, (0, 0))
        # Those that show it beside their first category
        count += also[category.pk]
        row = {
            "category": category,
            "count": count,
            "vectors_only": vectors_only,
            "known": known.get(category.name),
            "is_small": count < MIN_PICTURES and category.name not in known,
        }
        rows.append(row | {"newest": newest.get(category.pk, [])})
    return rows
