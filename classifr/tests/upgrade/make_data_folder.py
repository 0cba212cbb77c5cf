"""Make the data folder of an installation in use, for `test_upgrade` to serve with later code.

    python -m classifr.tests.upgrade.make_data_folder classifr/tests/upgrade/VERSION.tar.xz

Run it with the code of the version that the archive is to stand for, and check the archive in: it
holds a row or a file of every kind that later code must still understand. `facts.json` in it says
what must be found again.
"""

import json
import os
import sys
import tarfile
import tempfile
from pathlib import Path

SECRET_KEY = "the key of an installation that was upgraded"
TRAINING_KEY = "the training key of a Custom Vision resource"


def main(archive: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {
            "CLASSIFR_DATA_DIR": str(folder),
            "SECRET_KEY": SECRET_KEY,
            "DJANGO_SETTINGS_MODULE": "classifr.settings",
        }
        import django

        django.setup()
        facts = fill()
        (folder / "facts.json").write_text(json.dumps(facts, indent=1))
        checkpoint()
        with tarfile.open(archive, "w:xz") as tar:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and path.suffix not in {".pyc"} and "cache" not in path.parts:
                    tar.add(path, path.relative_to(folder))


def checkpoint() -> None:
    """Have everything in the database's one file, so that the archive needs no log beside it."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def fill() -> dict[str, object]:
    from unittest.mock import patch

    import numpy as np
    from django.core.files.base import ContentFile
    from django.core.files.storage import storages
    from django.core.management import call_command
    from django.utils import timezone

    from classifr.tests.access_world import make_world
    from common import encryption, jobs, tasks
    from common.models import Job
    from customvision.importer import import_jobs
    from customvision.models import Export, ImportedProject, Iteration, ServiceAccess
    from predictions import (
        batches,
        classification,
        feedback,
        registry,
        retention,
        shadow_deployment,
    )
    from predictions.models import Feedback, Prediction, Sample
    from predictions.predictors.local.ood_detector import OutOfDistributionDetector
    from predictions.tests import tiny_model
    from predictions.tests.factories import make_picture_bytes, make_project, make_upload
    from review import decisions, queue
    from review.models import Decision
    from review.undo import undo_latest
    from training.features.cache import FeatureCache
    from training.models import DatasetVersion, TrainingRun
    from training.tests.factories import make_finished_run, make_run, make_trainable

    call_command("migrate", verbosity=0)
    tasks.autodiscover()
    world = make_world()

    # A project with a local model, whose categories do not exclude each other: what the model says,
    # and verdicts
    colours = make_project(
        "Colours",
        slug="colours",
        trainer="keras",
        multilabel=True,
        categories=tiny_model.CLASS_NAMES,
    )
    rng = np.random.default_rng(7)
    scope = OutOfDistributionDetector(
        rng.random((20, 3), np.float32), np.sort(rng.random(20, np.float32)), 5
    )
    servable = tiny_model.write_tiny_bundle("colours", scope=scope, activation="sigmoid")
    version = registry.register_version(
        colours,
        predictor="keras",
        reference=servable.reference,
        class_names=list(servable.class_names),
        digest=servable.digest,
    )
    registry.promote_version(version, by=world.maintainer, reason="the first")
    first, second, third, fourth = (
        classification.classify_upload(colours, make_upload(colour=colour), by=world.user)
        for colour in ("red", "green", "blue", (200, 60, 20))
    )
    feedback.give_feedback(first, Feedback.Verdict.NOK, by=world.user, category="orange")
    feedback.give_feedback(second, Feedback.Verdict.NOK, by=world.user, category="blue")
    # Both pictures move to `misclassified`; the deletion of the first copies is not due yet
    jobs.run_due_jobs("default")
    categories = {each.name: each for each in colours.categories.all()}
    decisions.label_many_multilabel(
        colours,
        [(Sample.objects.get(pk=first.sample_id), [categories["red"], categories["green"]])],
        by=world.reviewer,
        reason="both",
    )
    decisions.discard_sample(
        Sample.objects.get(pk=third.sample_id), by=world.reviewer, prediction=third
    )
    undo_latest(world.reviewer)
    decisions.confirm_prediction(
        Sample.objects.get(pk=fourth.sample_id), by=world.reviewer, prediction=fourth
    )
    queue.advance_marks()
    vectors = rng.random((2, 3), np.float32)
    FeatureCache(tiny_model.BACKBONE_DIGEST).put(
        [first.sample.sha256, second.sample.sha256], vectors
    )

    # A project that has learned: data set, run, evaluation, a version in shadow
    trained = make_trainable(slug="shades")
    make_finished_run(trained, promote=True)
    candidate = make_finished_run(trained, seed=1).model_version
    shadow_deployment.start_shadow(candidate, by=world.maintainer)
    classification.classify_upload(trained, make_upload(colour="black"), by=world.user)

    # A resource of Custom Vision: a sealed key that an import still needs
    with patch(
        "time.time", return_value=1_700_000_000
    ):  # too old from the start, as it is for every later reader
        sealed_key = encryption.encrypt_secret(TRAINING_KEY, purpose=import_jobs.PURPOSE)
    access = ServiceAccess.objects.create(
        endpoint="http://127.0.0.1:1",
        sealed_key=sealed_key,
        given_by=world.maintainer,
    )
    ImportedProject.objects.filter(pk=world.imported.pk).update(access=access, finished_at=None)

    # One job of every kind that waits
    feedback.give_feedback(third, Feedback.Verdict.NOK, by=world.user)
    batches.create_batch(
        colours, [make_upload(colour="red"), make_upload(colour="blue")], by=world.user
    )
    stray = storages["uploads"].save("colours/stray.jpg", ContentFile(make_picture_bytes()))
    retention.enqueue_file_deletion(second.sample, "uploads", stray)
    shadows_due = jobs.insert(
        "predictions.answer_in_shadow", {"project": trained.pk, "language": "fr"}, queue="shadow"
    )
    make_run(make_trainable(slug="waiting"))
    jobs.insert(
        import_jobs.import_custom_vision.kind,
        {
            "imported": world.imported.pk,
            "with_predictions": False,
            "checks_bytes": False,
            "language": "en",
        },
        queue="imports",
        key=f"{import_jobs.import_custom_vision.kind}:{world.imported.pk}",
    )
    gone = storages["models"].save("colours/gone.zip", ContentFile(b"an archive"))
    jobs.insert("customvision.delete_files", {"files": [["models", gone]]})
    iteration = Iteration.objects.create(
        project=colours, own_version=version, name="Iteration 1", publish_name="first"
    )
    export = Export.objects.create(
        iteration=iteration, platform="TensorFlow", flavor="TensorFlowLite"
    )
    jobs.insert("customvision.export", {"export": export.pk}, queue="training", key=export.job_key)
    assert shadows_due
    Job.objects.active().update(due_at=timezone.now())

    return {
        "kinds": sorted(Job.objects.active().values_list("kind", flat=True).distinct()),
        "predictions": {
            str(each.uuid): each.scores for each in Prediction.objects.filter(project=colours)
        },
        "red": {"file": first.sample.sha256, "scores": first.scores},
        "decisions": list(
            Decision.objects.order_by("pk").values_list(
                "sample__sha256", "outcome", "category__name"
            )
        ),
        "truth": {first.sample.sha256: "red", fourth.sample.sha256: fourth.top.name},
        "further": {first.sample.sha256: ["green"]},
        "vectors": vectors.tolist(),
        "counts": {
            model.__name__: model.objects.count()
            for model in (Sample, Feedback, Decision, DatasetVersion, TrainingRun, ImportedProject)
        },
        "stray": stray,
        "gone": gone,
        "sealed_key": sealed_key,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
