"""The filters of the review queue and of the history of decisions."""

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from accounts import roles
from accounts.models import User
from common.errors import InvalidInput
from common.numbers import MAX_KEY
from predictions import project_access
from predictions.models import Category, ModelVersion, Project
from review.models import Decision
from review.queue import QueueFilters, Reason

NEWEST_VERSIONS = 200


class _Choices(forms.Form):
    """A form of selects that apply at once when one is changed."""

    use_required_attribute = False

    def __init__(self, data: QueryDict, reviewer: User) -> None:
        super().__init__(data, label_suffix="", auto_id="filter-%s")
        self.fields["project"].queryset = Project.objects.filter(  # type: ignore[attr-defined]
            project_access.within(reviewer, roles.REVIEW, "pk")
        )
        for field in self.fields.values():
            field.required = False
            text = isinstance(field.widget, forms.TextInput)
            field.widget.attrs["class"] = f"form-{'control' if text else 'select'} form-select-sm"

    def cleaned_or_refuse(self) -> dict[str, Any]:
        """Return the values. Raises InvalidInput if one is not among the choices."""
        if not self.is_valid():
            fields = {
                name: [str(message) for message in messages]
                for name, messages in self.errors.items()
            }
            raise InvalidInput(
                _("A filter has an invalid value. Open the page without it."),
                fields=fields,
            )
        return self.cleaned_data


class QueueFilterForm(_Choices):
    """Which samples a reviewer wants to see."""

    project = forms.ModelChoiceField(
        Project.objects.all(),
        to_field_name="slug",
        label=_("Project"),
        empty_label=_("All projects"),
    )
    reason = forms.ChoiceField(choices=[("", _("Any reason")), *Reason.choices], label=_("Reason"))
    version = forms.ModelChoiceField(
        ModelVersion.objects.none(), label=_("Model version"), empty_label=_("Any version")
    )
    predicted = forms.ChoiceField(label=_("Prediction"))
    suggested = forms.CharField(
        label=_("User's answer"),
        max_length=100,
        widget=forms.TextInput(attrs={"list": "known-categories"}),
    )

    def __init__(self, data: QueryDict, reviewer: User) -> None:
        super().__init__(data, reviewer)
        slug = self.data.get("project", "")
        own = project_access.within(reviewer, roles.REVIEW)
        versions, categories = ModelVersion.objects.filter(own), Category.objects.filter(own)
        # Only what the chosen project has, so that a filter cannot exclude everything
        if slug:
            versions, categories = (
                versions.filter(project__slug=slug),
                categories.filter(project__slug=slug),
            )
        # A list of keys instead of a sliced queryset, which the form field could not filter
        newest = list(versions.order_by("-pk").values_list("pk", flat=True)[:NEWEST_VERSIONS])
        self.fields["version"].queryset = (  # type: ignore[attr-defined]
            ModelVersion.objects.filter(pk__in=newest)
            .select_related("project")
            .defer("manifest", "class_names")
        )
        self.category_names = list(
            categories.order_by("name").values_list("name", flat=True).distinct()
        )
        self.fields["predicted"].choices = [  # type: ignore[attr-defined]
            ("", _("Any category")),
            *((name, name) for name in self.category_names),
        ]

    def filters(self) -> QueueFilters:
        """Return what was asked for. Raises InvalidInput."""
        values = self.cleaned_or_refuse()
        version = values["version"]
        return QueueFilters(
            project=values["project"],
            reason=values["reason"],
            version=version.pk if version else None,
            suggested=values["suggested"],
            predicted=values["predicted"],
        )

    def narrowed(self) -> list[tuple[str, str]]:
        """Return what narrows the queue of a project, as the label and the value of a filter."""
        shown = []
        for field in self.visible_fields():
            if field.name == "project" or not field.value():
                continue
            choices = dict(getattr(field.field, "choices", ()))
            said = next(
                (str(text) for key, text in choices.items() if str(key) == field.value()), ""
            )
            shown.append((str(field.label), said or field.value()))
        return shown


class HistoryFilterForm(_Choices):
    """Which decisions to list, and from where on."""

    project = forms.ModelChoiceField(
        Project.objects.all(),
        to_field_name="slug",
        label=_("Project"),
        empty_label=_("All projects"),
    )
    outcome = forms.ChoiceField(
        choices=[("", _("Any decision")), *Decision.Outcome.choices], label=_("Decision")
    )
    whose = forms.ChoiceField(
        choices=[("", _("Everyone")), ("mine", _("Only me"))], label=_("Decided by")
    )
    samples = forms.ChoiceField(
        choices=[("", _("Sent by users")), ("all", _("Imported ones, too"))], label=_("Samples")
    )
    before = forms.IntegerField(min_value=1, max_value=MAX_KEY, widget=forms.HiddenInput)
