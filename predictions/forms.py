"""The forms of this app's pages."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from predictions import project_access
from predictions.models import Category, Feedback
from predictions.prediction_history import UNANSWERED, HistoryFilters

MANY = 500  # names offered for choice; any other can still be given in the address


class HistoryForm(forms.Form):
    """Shows which filters apply, and offers the others.

    What comes back is read by `prediction_history.parse_filters`, as it is for the API.
    """

    project = forms.ChoiceField(label=_("Project"), required=False)
    verdict = forms.ChoiceField(
        label=_("Your answer"),
        required=False,
        choices=[("", _("Any")), *Feedback.Verdict.choices, (UNANSWERED, _("None yet"))],
    )
    category = forms.ChoiceField(label=_("Prediction"), required=False)
    since = forms.DateField(
        label=_("From"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )
    until = forms.DateField(
        label=_("To"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )

    def __init__(self, wanted: HistoryFilters, user: User, **kwargs: Any) -> None:
        super().__init__(initial=vars(wanted), auto_id="filter_%s", **kwargs)
        projects = project_access.visible_projects(user).values_list("slug", "name")
        categories = Category.objects.filter(project_access.visible(user))
        names = categories.order_by("name").values_list("name", flat=True).distinct()
        if wanted.project:
            names = names.filter(project__slug=wanted.project)
        self._offer("project", [("", _("All")), *projects[:MANY]])
        self._offer("category", [("", _("Anything")), *((name, name) for name in names[:MANY])])
        for field in self.fields.values():
            select = isinstance(field, forms.ChoiceField)
            field.widget.attrs["class"] = "form-select" if select else "form-control"

    def _offer(self, name: str, choices: list[tuple[str, Any]]) -> None:
        field = self.fields[name]
        if isinstance(field, forms.ChoiceField):
            field.choices = choices
