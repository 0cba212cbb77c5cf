"""The filters of the gallery as a form: what an address says, and what else is offered."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from classifr.gallery.filters import (
    GalleryFilters,
    Sign,
    Split,
    State,
    TestedCell,
    Verdict,
)
from common.errors import InvalidInput
from predictions.models import CaptureCondition, Category, ModelVersion, Project, Sample
from predictions.templatetags.predictions_tags import condition_name
from training.models import Evaluation

NEWEST_VERSIONS = 200
CONDITIONS_FROM = 1000  # the newest samples whose capture conditions are offered
FIRST_YEAR, LAST_YEAR = 1970, 9000  # at the ends of the calendar a time zone would lead out of it


@dataclass(frozen=True)
class Chip:
    """A filter that applies, in words, and the query of the same view without it."""

    sentence: str
    without: str


class GalleryForm(forms.Form):
    """What to show; the names of the fields are those of `GalleryFilters`."""

    use_required_attribute = False

    q = forms.CharField(label=_("Search file names"), max_length=100)
    category = forms.ModelMultipleChoiceField(
        Category.objects.none(),
        to_field_name="name",
        label=_("Category"),
        widget=forms.CheckboxSelectMultiple,
    )
    answer = forms.ModelMultipleChoiceField(
        Category.objects.none(),
        to_field_name="name",
        label=_("The model says"),
        widget=forms.CheckboxSelectMultiple,
    )
    model = forms.ChoiceField(label=_("Model"), choices=[("", _("Any")), *Verdict.choices])
    state = forms.ChoiceField(label=_("Label"), choices=[("", _("Any")), *State.choices])
    split = forms.ChoiceField(label=_("Split"), choices=[("", _("Any")), *Split.choices])
    sign = forms.ChoiceField(label=_("Noticed"), choices=[("", _("Any")), *Sign.choices])
    source = forms.ChoiceField(label=_("Source"), choices=[("", _("Any")), *Sample.Origin.choices])
    low = forms.FloatField(label=_("At least, in %"), min_value=0, max_value=100)
    high = forms.FloatField(label=_("At most, in %"), min_value=0, max_value=100)
    since = forms.DateField(label=_("From"), widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))
    until = forms.DateField(label=_("To"), widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))
    user = forms.CharField(label=_("User"), max_length=150)
    version = forms.ModelChoiceField(
        ModelVersion.objects.none(),
        to_field_name="number",
        label=_("Model version"),
        empty_label=_("Any"),
    )
    condition = forms.ChoiceField(label=_("Capture condition"))
    # A cell of the confusion matrix of an evaluation: its key, row and column, as links have them
    tested = forms.RegexField(
        r"^[0-9]{1,18}-[0-9]{1,4}-[0-9]{1,4}$",
        label=_("In the test"),
        widget=forms.HiddenInput,
    )

    def __init__(self, project: Project, data: QueryDict) -> None:
        super().__init__(data, label_suffix="", auto_id="filter-%s")
        self.project = project
        for name, field in self.fields.items():
            field.required = False
            select = isinstance(field.widget, forms.Select)
            if not isinstance(field.widget, forms.CheckboxSelectMultiple):
                field.widget.attrs["class"] = "form-select" if select else "form-control"
            if name == "q" and project.is_of_texts:
                field.label = _("Search texts and file names")
        categories = project.categories.order_by("name")
        self._choose("category", categories)
        self._choose("answer", categories)
        newest = project.model_versions.order_by("-number").values_list("pk", flat=True)
        self._choose(
            "version",
            ModelVersion.objects.filter(pk__in=list(newest[:NEWEST_VERSIONS])).defer(
                "manifest", "class_names"
            ),
        )
        self.fields["version"].label_from_instance = (  # type: ignore[attr-defined]
            lambda version: gettext("Version %(number)d") % {"number": version.number}
        )
        self.fields["condition"].choices = [  # type: ignore[attr-defined]
            ("", _("Any")),
            *self._conditions(),
        ]

    def clean_tested(self) -> TestedCell | None:
        if not (text := self.cleaned_data["tested"]):
            return None
        key, row, column = map(int, text.split("-"))
        found = Evaluation.objects.filter(model_version__project=self.project, pk=key)
        evaluation = found.select_related("model_version").first()
        if evaluation is None or evaluation.is_multilabel:
            raise forms.ValidationError(gettext("This evaluation no longer exists."))
        if max(row, column) >= len(evaluation.confusion["names"]):
            raise forms.ValidationError(gettext("This evaluation no longer exists."))
        return TestedCell(evaluation, row, column)

    def filters(self) -> GalleryFilters:
        """Return what was asked for. Raises InvalidInput."""
        if not self.is_valid():
            fields = {
                name: [str(message) for message in messages]
                for name, messages in self.errors.items()
            }
            raise InvalidInput(
                gettext("A filter has an invalid value. Open the page without it."), fields=fields
            )
        values = dict(self.cleaned_data)
        for name in ("since", "until"):
            if values[name] and not FIRST_YEAR <= values[name].year <= LAST_YEAR:
                raise InvalidInput(gettext("Please give a day as YYYY-MM-DD."))
        for name in ("category", "answer"):
            values[name] = tuple(values[name])
        return GalleryFilters(project=self.project, **values)

    def query(self, without: str = "") -> str:
        """Return the filters as a query string, but for one of them."""
        kept = QueryDict(mutable=True)
        for name in self.fields:
            values = [value for value in self.data.getlist(name) if value]  # type: ignore[attr-defined]
            if values and name != without:
                kept.setlist(name, values)
        return kept.urlencode()

    def chips(self) -> Iterator[Chip]:
        """Yield the filters that apply; call `filters` first."""
        for name, field in self.fields.items():
            value = self.cleaned_data.get(name)
            if value not in (None, "") and (not hasattr(value, "exists") or value):
                words = {"label": field.label, "value": self._in_words(name, value)}
                sentence = gettext("%(label)s: %(value)s") % words
                yield Chip(sentence, self.query(without=name))

    def _in_words(self, name: str, value: Any) -> str:
        if name in ("category", "answer"):
            return ", ".join(category.name for category in value)
        if name in ("since", "until"):
            return date_format(value, "SHORT_DATE_FORMAT")
        if name == "tested":
            words = {
                "number": value.evaluation.model_version.number,
                "truth": value.truth,
                "answer": value.answer,
            }
            return gettext("%(truth)s, version %(number)d said %(answer)s") % words
        if name == "version":
            return str(value.number)
        choices = dict(getattr(self.fields[name], "choices", ()))
        return str(choices.get(value, f"{value:g}" if isinstance(value, float) else value))

    def _choose(self, name: str, rows: Any) -> None:
        self.fields[name].queryset = rows  # type: ignore[attr-defined]

    def _conditions(self) -> list[tuple[str, str]]:
        """Return the conditions of the newest samples, and the one that was asked for."""
        newest = Sample.objects.filter(project=self.project).order_by("-pk")
        keys = list(newest.values_list("pk", flat=True)[:CONDITIONS_FROM])
        found = set()
        if keys:
            rows = CaptureCondition.objects.filter(
                sample__project=self.project, sample__gte=keys[-1]
            )
            found = set(rows.values_list("name", "value").distinct())
        name, colon, value = self.data.get("condition", "").partition(":")
        if colon and len(name) <= 32 and len(value) <= 100 and (name + value).isprintable():
            found.add((name, value))
        return [
            (f"{name}:{value}", f"{condition_name(name)}: {value}") for name, value in sorted(found)
        ]
