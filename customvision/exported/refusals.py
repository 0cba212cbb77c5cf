"""Why an archive is not taken in: a code and a detail, and the sentence for whoever sent it.

The trial runs without Django, so it passes codes on; `sentence` puts them into the language of the
reader.
"""

from django.utils.translation import gettext as _

from common.errors import InvalidInput


class Refused(Exception):
    """The model cannot be taken in; `sentence` says why."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


class CannotImport(InvalidInput):
    """This archive does not become a model version."""

    code = "cannot_import_model"


def refusal_of(refused: Refused) -> CannotImport:
    """Return the error with a sentence that says what is wrong and what to do."""
    return CannotImport(sentence(refused), code=refused.code)


def sentence(refused: Refused) -> str:
    sentences = {
        "other_kind": _(
            "This project holds texts, and Custom Vision exports models of pictures. Choose a "
            "project of pictures."
        ),
        "not_tflite": _(
            "The model is no TensorFlow Lite file. Export it again from Custom Vision."
        ),
        "not_onnx": _("The model is no ONNX file. Export it again from Custom Vision."),
        "damaged": _("The model's file is damaged. Export it again from Custom Vision."),
        "more_than_a_network": _(
            "The model refers to other files, or holds functions or branches. Only a plain "
            "network is taken."
        ),
        "unknown_operator": _(
            "The model uses operators that are not allowed here: %(detail)s. Export it from a "
            "compact domain."
        ),
        "input": _(
            "The model's input is no picture as Custom Vision's models take it (%(detail)s)."
        ),
        "output": _(
            "The model's output does not fit its labels: %(detail)s. Each label needs one number."
        ),
        "no_probabilities": _(
            "The model gives numbers that are no probabilities. Is it one that classifies pictures?"
        ),
        "preprocessing": _(
            "The archive asks for a preparation of pictures that is not known here: %(detail)s."
        ),
        "engine": _("The model cannot be loaded: %(detail)s"),
        "crashed": _("The model crashed the process in which it was tried. It is not taken."),
        "too_slow": _("The model took too long when it was tried. It is not taken."),
        "too_large": _("The model needs too much memory. It is not taken."),
        "no_engine": _(
            "ONNX models need onnxruntime, which is not installed here. Export the model as "
            "TensorFlow Lite."
        ),
    }
    text = sentences.get(refused.code) or _("The model cannot be used: %(detail)s")
    return text % {"detail": refused.detail or refused.code}
