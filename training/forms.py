"""What maintainers fill in."""

from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from common.media.upload_handlers import read_upload
from predictions import groups
from predictions.models import Category, Project
from training.backbones import imagenet_classes
from training.data import picture_import, text_import
from training.data.formats import FORMATS
from training.data.picture_import import ImportReport
from training.models import TrainingPolicy
from training.runs import submission, sweeps
from training.trainers.base import trainers

TEXT_FILES = ".txt,.csv,.tsv,.jsonl,text/plain,text/csv"


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
        choices.initial = submission.default_backbone(trainer, project)
        if not any(map(trainer.supports_fine_tuning, trainer.backbone_names())):
            del self.fields["fine_tune"]


class SweepForm(forms.Form):
    """What a sweep tries, in every combination."""

    backbones = forms.MultipleChoiceField(label=_("Backbones"), widget=forms.CheckboxSelectMultiple)
    fine_tune = forms.MultipleChoiceField(
        label=_("Fine-tuning"),
        choices=[("no", _("without")), ("yes", _("with"))],
        initial=["no"],
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Backbones that cannot be fine-tuned are tried without it."),
    )
    seeds = forms.IntegerField(
        label=_("Seeds"),
        min_value=1,
        max_value=sweeps.MOST_SEEDS,
        initial=1,
        help_text=_("How many runs of each combination, with the seeds 0, 1, 2 and so on."),
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        trainer = submission.trainer_named(submission.project_trainer_alias(project))
        names = trainer.backbone_names()
        choices = self.fields["backbones"]
        assert isinstance(choices, forms.MultipleChoiceField)  # noqa: S101 (tells the type checker)
        choices.choices = [(name, name) for name in names]
        choices.initial = [submission.default_backbone(trainer, project)]
        if not any(map(trainer.supports_fine_tuning, names)):
            del self.fields["fine_tune"]

    def options(self) -> sweeps.SweepOptions:
        data = self.cleaned_data
        return sweeps.SweepOptions(
            backbones=tuple(data["backbones"]),
            fine_tune=tuple(each == "yes" for each in data.get("fine_tune", ["no"])),
            seeds=tuple(range(data["seeds"])),
        )


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

    group = forms.CharField(
        label=_("Group"),
        max_length=groups.MAX_NAME,
        required=False,
        help_text=_(
            "Optional: the part, board, lot or patient that all of these show. Pictures of one "
            "group are either all trained on or all tested with."
        ),
    )

    @property
    def has_samples(self) -> bool:
        return bool(self.cleaned_data["pictures"])

    def import_into(self, category: Category, *, by: User) -> ImportReport:
        """Import what was sent. Raises as `picture_import.import_files` does."""
        return picture_import.import_files(
            category.project,
            category,
            self.cleaned_data["pictures"],
            by=by,
            group=self.cleaned_data["group"],
        )


class TextsForm(forms.Form):
    """Texts of one category."""

    lines = forms.CharField(
        label=_("Texts"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4, "dir": "auto"}),
        help_text=_("A text on each line."),
    )
    file = forms.FileField(
        label=_("File of texts"),
        required=False,
        widget=forms.ClearableFileInput(attrs={"accept": TEXT_FILES}),
        help_text=_("A text on each line (.txt), a column “text” (.csv), or JSON Lines (.jsonl)."),
    )

    @property
    def has_samples(self) -> bool:
        return bool(self.cleaned_data["lines"].strip() or self.cleaned_data["file"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.needs_samples and not self.errors and not self.has_samples:
            raise forms.ValidationError(_("Please write or paste a text first, or choose a file."))
        return data

    needs_samples = True

    def import_into(self, category: Category, *, by: User) -> ImportReport:
        """Import what was sent. Raises as `text_import.import_sent_file` does."""
        sent = {gettext("Line"): self.cleaned_data["lines"].encode("utf-8", "replace")}
        if file := self.cleaned_data["file"]:
            sent[file.name] = read_upload(file)
        report = ImportReport()
        for name, data in sent.items():
            one = text_import.import_sent_file(category.project, category, name, data, by=by)
            report.add(one)
        return report


class LabelledTextsForm(forms.Form):
    """Texts of several categories, which a column names."""

    labelled = forms.FileField(
        label=_("File of labelled texts"),
        widget=forms.ClearableFileInput(attrs={"accept": TEXT_FILES}),
        help_text=_(
            "A .csv with the columns “text” and “label”, or .jsonl with these members; missing "
            "categories are added."
        ),
    )


class AddTextCategoryForm(TextsForm):
    """A new category, with texts of it or without."""

    name = forms.CharField(label=_("Name"), max_length=100)
    description = forms.CharField(
        label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    field_order = ("name", "description", "lines", "file")
    needs_samples = False


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
    field_order = ("name", "description", "pictures", "group")


class KnownForm(forms.Form):
    """Categories of ImageNet, each on its own or all as one."""

    classes = forms.TypedMultipleChoiceField(
        coerce=int,
        error_messages={
            "required": _("Choose at least one of the known categories."),
            "invalid_choice": _("Choose at least one of the known categories."),
        },
    )
    name = forms.CharField(
        label=_("Make one category of all that are chosen, named"),
        max_length=100,
        required=False,
        help_text=_("Empty: each becomes a category of its own."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = self.fields["classes"]
        assert isinstance(choices, forms.TypedMultipleChoiceField)  # noqa: S101 (for the type checker)
        choices.choices = [(number, number) for number in range(imagenet_classes.COUNT)]


class DatasetForm(forms.Form):
    """A data set in one of the known formats."""

    dataset = forms.FileField(
        label=_("Data set"),
        widget=forms.ClearableFileInput(
            {"accept": ".zip,.parquet,.csv,.tsv,.json,application/zip,text/csv,application/json"}
        ),
        help_text=_(
            "A ZIP with one folder per category, possibly within train, val and test; a ZIP with a "
            "table (CSV), COCO or Label Studio JSON; or a Parquet file."
        ),
    )
    labels = forms.FileField(
        label=_("Labels, if they are not in the ZIP"),
        required=False,
        widget=forms.ClearableFileInput({"accept": ".csv,.tsv,.json"}),
        help_text=_("Optional: a table with the columns “path” and “category”, or a JSON file."),
    )
    format = forms.ChoiceField(label=_("Format"), required=False)
    sub_folders_are_groups = forms.BooleanField(
        label=_("Folders within a category are groups"),
        required=False,
        help_text=_("Samples of one part, lot or patient: all trained on, or all tested with."),
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = self.fields["format"]
        assert isinstance(choices, forms.ChoiceField)  # noqa: S101 (tells the type checker)
        known = [each for each in reversed(FORMATS.values()) if project.modality in each.modalities]
        choices.choices = [
            ("", _("Recognise it")),
            *((each.alias, each.title) for each in known),
        ]


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
            "inspection",
            "second_opinion_percent",
            "retention",
            "trainer",
        ]
        widgets: ClassVar = {
            "description": forms.Textarea({"rows": 3}),
            "abstain_below": forms.NumberInput({"min": 0, "max": 1, "step": 0.01}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.is_of_texts:
            # How a picture is cropped
            del self.fields["test_time_augmentation"], self.fields["inspection"]
        usable = [alias for alias in trainers if _learns_from(alias, self.instance.modality)]
        aliases = [("", _("The server's default")), *((alias, alias) for alias in usable)]
        self.fields["trainer"] = forms.ChoiceField(
            label=_("Trainer"), choices=aliases, required=False
        )


def _learns_from(alias: str, modality: str) -> bool:
    """Say whether a trainer suits a project; one that cannot be built is told of by the checks."""
    try:
        return modality in trainers[alias].modalities
    except ImproperlyConfigured:
        return True


# The forms that bring samples of each kind: with a new category, and to one that is there
ADD_FORMS: dict[str, type[AddCategoryForm | AddTextCategoryForm]] = {
    Project.Modality.IMAGE: AddCategoryForm,
    Project.Modality.TEXT: AddTextCategoryForm,
}
SAMPLE_FORMS: dict[str, type[PicturesForm | TextsForm]] = {
    Project.Modality.IMAGE: PicturesForm,
    Project.Modality.TEXT: TextsForm,
}


class PolicyForm(forms.ModelForm):
    """What happens in a project without a person's word."""

    class Meta:
        model = TrainingPolicy
        fields: ClassVar = [
            "margin",
            "retrain_after_labels",
            "retrain_every_days",
            "retrain_on_drift",
        ]
        widgets: ClassVar = {"margin": forms.NumberInput({"min": 0.005, "max": 0.5, "step": 0.005})}
