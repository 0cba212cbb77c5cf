"""Strings that lie in rows, files and addresses in use, held literally: code may move."""

from common import encryption, jobs, tasks
from customvision.api import exports, picture_links
from customvision.importer import import_jobs
from predictions.predictors.local import bundles, preprocessing

KINDS = {
    "customvision.delete_files",
    "customvision.export",
    "customvision.import_model",
    "predictions.answer_in_shadow",
    "predictions.classify_batch",
    "predictions.delete_file",
    "predictions.settle_misclassified",
    "predictions.store_misclassified",
    "training.import_custom_vision",
    "training.run",
}


def test_every_kind_of_job_that_may_be_waiting_is_still_understood():
    tasks.autodiscover()
    assert set(jobs._runners) >= KINDS


def test_kept_vectors_and_bundles_are_found_again():
    assert (preprocessing.NAME, preprocessing.DIGEST) == (
        "centre-crop-bilinear",
        "c1660d05984438cc",
    )
    assert bundles.FORMAT == 1
    names = ["head.npz", "model.keras", "model.onnx", "model.tflite", "scope.npz"]
    of_texts = ["terms.npz", "text_head.npz", "tokenizer.json"]
    assert sorted(bundles.FILE_NAMES) == sorted(names + of_texts)


def test_addresses_that_were_handed_out_lead_somewhere_for_a_day():
    assert exports.SALT == "customvision.api.exports"
    assert picture_links.SALT == "customvision.api.picture_links"


def test_a_key_that_was_sealed_by_an_earlier_version_is_opened(settings, monkeypatch):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the key of an installation", []
    monkeypatch.setattr(encryption, "SECONDS", 10**10)  # this one was sealed long ago
    sealed = "gAAAAABrDFA7HgQmYcUTaY8jDIxaLxd-4qsBlXvMmGBW0roOXjdY0r52MzVmjuUUa1evSv__Jc8PU1_w5sIQo2a1_ohn7F9o2g=="  # noqa: E501
    assert encryption.decrypt_secret(sealed, purpose=import_jobs.PURPOSE) == "a training key"
