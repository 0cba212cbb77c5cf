"""What maintainers fill in."""

from typing import Any, ClassVar

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from predictions.models import Project
from training.models import TrainingPolicy
from training.runs import submission
from training.trainers.base import trainers


class StartRunForm(forms.Form):
    """The parameters of a run."""

    backbone = forms.ChoiceField(label=_("Backbone"), required=False)
    seed = forms.IntegerField(
        label=_("Seed"),
        min_value=0,
        max_value=submission.MAX_SEED,
        initial=0,
        help_text=_("The same seed and data give the same model."),
    )
    fine_tune = forms.BooleanField(
        label=_("Fine-tune the top of the backbone"),
        required=False,
        help_text=_(
            "Takes minutes instead of seconds and needs pictures; kept only if it does better in "
            "validation."
        ),
    )
    promote = forms.BooleanField(
        label=_("Promote the new model if it is not worse"), required=False, initial=True
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        trainer = submission.trainer_named(submission.project_trainer_alias(project))
        choices = self.fields["backbone"]
        assert isinstance(choices, forms.ChoiceField)  # noqa: S101 (tells the type checker)
        choices.choices = [(name, name) for name in trainer.backbone_names()]
        choices.initial = submission.default_backbone(trainer)
        if not any(map(trainer.supports_fine_tuning, trainer.backbone_names())):
            del self.fields["fine_tune"]


class PromoteForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=300,
        required=False,
        help_text=_("Optional. It is kept with the promotion, with your name."),
    )


class MultipleFileInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class MultipleFileField(forms.FileField):
    """Several files at once, as a list."""

    widget = MultipleFileInput(attrs={"accept": "image/*"})

    def clean(self, data: Any, initial: Any = None) -> Any:
        # Django's own field cleans one file, so each goes through it alone
        files = data if isinstance(data, list | tuple) else [data]
        return [
            super(MultipleFileField, self).clean(file, initial)
            for file in files
            if file or self.required
        ]


class PicturesForm(forms.Form):
    """Pictures of one category."""

    pictures = MultipleFileField(
        label=_("Pictures"), help_text=_("Checked as every upload is; only new ones are taken.")
    )

    @property
    def files_sent(self) -> list[UploadedFile]:
        return self.cleaned_data["pictures"]


class AddCategoryForm(PicturesForm):
    """A new category, with pictures of it or without."""

    name = forms.CharField(label=_("Name"), max_length=100)
    description = forms.CharField(
        label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    pictures = MultipleFileField(
        label=_("Pictures"),
        required=False,
        help_text=_("Pictures that all show this category. You can add more later."),
    )
    field_order = ("name", "description", "pictures")


class RenameForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=100)


class OptionsForm(forms.ModelForm):
    """How a project answers, learns and what it keeps."""

    class Meta:
        model = Project
        fields: ClassVar = [
            "name",
            "description",
            "abstain_below",
            "abstain_when_unfamiliar",
            "test_time_augmentation",
            "retention",
            "trainer",
        ]
        widgets: ClassVar = {
            "description": forms.Textarea({"rows": 3}),
            "abstain_below": forms.NumberInput({"min": 0, "max": 1, "step": 0.01}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        aliases = [("", _("The server's default")), *((alias, alias) for alias in trainers)]
        self.fields["trainer"] = forms.ChoiceField(
            label=_("Trainer"), choices=aliases, required=False
        )


class PolicyForm(forms.ModelForm):
    """What happens in a project without a person's word."""

    class Meta:
        model = TrainingPolicy
        fields: ClassVar = ["margin", "retrain_after_labels", "retrain_every_days"]
        widgets: ClassVar = {"margin": forms.NumberInput({"min": 0.005, "max": 0.5, "step": 0.005})}
