"""What maintainers fill in to bring an exported model."""

from django import forms
from django.utils.translation import gettext_lazy as _


class ModelArchiveForm(forms.Form):
    """The archive of an export."""

    archive = forms.FileField(
        label=_("ZIP file of the export"),
        help_text=_("TensorFlow Lite or ONNX, as Custom Vision or Classifr exports it."),
        widget=forms.ClearableFileInput({"accept": ".zip,application/zip"}),
    )
    promote = forms.BooleanField(label=_("Promote it once it is imported"), required=False)
