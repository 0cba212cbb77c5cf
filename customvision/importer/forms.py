"""What maintainers fill in to import projects from Custom Vision."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from customvision.importer.service import RemoteProject


class ServiceAccessForm(forms.Form):
    """Endpoint and key of a resource. A key that was sent is never shown again."""

    endpoint = forms.CharField(
        label=_("Endpoint of the training resource"),
        max_length=300,
        help_text=_(
            "For example https://NAME.cognitiveservices.azure.com/, or the address of another "
            "Classifr."
        ),
        widget=forms.URLInput({"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
    )
    key = forms.CharField(
        label=_("Training key"),
        max_length=500,
        help_text=_("It is kept encrypted until the import has ended, and never shown."),
        widget=forms.PasswordInput({"autocomplete": "off"}),
    )


class ChooseProjectsForm(forms.Form):
    """Which projects to import; those for object detection cannot be chosen."""

    projects = forms.MultipleChoiceField(label=_("Projects"), widget=forms.CheckboxSelectMultiple)
    with_predictions = forms.BooleanField(
        label=_("Stored predictions as well"),
        required=False,
        help_text=_("Their pictures come without a label, with what Custom Vision said of them."),
    )

    def __init__(self, *args: Any, projects: list[RemoteProject], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._projects = {str(one.id): one for one in projects if not one.is_detection}
        field = self.fields["projects"]
        assert isinstance(field, forms.MultipleChoiceField)  # noqa: S101 (tells the type checker)
        field.choices = [(id_, one.name) for id_, one in self._projects.items()]
        if len(self._projects) == 1:
            field.initial = list(self._projects)

    @property
    def chosen(self) -> list[RemoteProject]:
        return [self._projects[id_] for id_ in self.cleaned_data["projects"]]
