import pytest
from django.core.checks import run_checks


def ids() -> set:
    return {message.id for message in run_checks() if message.id.startswith("predictions.")}


def test_the_default_settings_are_right():
    assert ids() == set()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("PREDICTORS", {"keras": {"BACKEND": "no.such.Class"}}, "predictions.E001"),
        ("RETENTION", "sometimes", "predictions.E011"),
        ("UPLOAD_FORMATS", ["JPEG", "SVG"], "predictions.E013"),
        ("UPLOAD_FORMATS", [], "predictions.E013"),
        ("UPLOAD_MAX_BYTES", 0, "predictions.E014"),
        ("UPLOAD_RATE", "600", "predictions.E016"),
        ("UPLOAD_RATE", "600/week", "predictions.E016"),
        ("UPLOAD_QUOTA", -1, "predictions.E014"),
        ("UPLOAD_MEGAPIXELS", 0, "predictions.E014"),
        ("AZURE_STORAGE_LINKS", True, "predictions.W017"),
    ],
)
def test_a_wrong_setting_is_explained(settings, name, value, error):
    setattr(settings, name, value)
    assert ids() == {error}


def test_a_missing_storage_is_named(settings):
    settings.STORAGES = {
        alias: value for alias, value in settings.STORAGES.items() if alias != "misclassified"
    }
    assert ids() == {"predictions.E015"}
