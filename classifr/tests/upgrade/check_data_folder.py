"""Say, as JSON, what the code of today finds in an upgraded data folder; run by `test_upgrade`.

python -m classifr.tests.upgrade.check_data_folder SEALED_KEY
"""

import json
import sys


def main(sealed_key: str) -> None:
    import django

    django.setup()
    print(json.dumps(found(sealed_key)))  # noqa: T201


def found(sealed_key: str) -> dict[str, object]:
    from unittest.mock import patch

    from django.core.files.storage import storages

    from common import encryption
    from common.models import Job
    from customvision.importer import import_jobs
    from customvision.models import ImportedProject
    from predictions import classification
    from predictions.models import Feedback, Prediction, Project, Sample
    from predictions.tests import tiny_model
    from predictions.tests.factories import make_upload
    from review import ground_truth
    from review.models import Decision
    from training.features.cache import FeatureCache
    from training.models import DatasetVersion, TrainingRun

    colours = Project.objects.get(slug="colours")
    red = Prediction.objects.filter(project=colours).order_by("pk").first()
    vectors = FeatureCache(tiny_model.BACKBONE_DIGEST).get(
        list(Sample.objects.filter(project=colours).values_list("sha256", flat=True))
    )
    with patch.object(encryption, "SECONDS", 10**10):  # the archive is older than a day
        key = encryption.decrypt_secret(sealed_key, purpose=import_jobs.PURPOSE)
    category_names = dict(colours.categories.values_list("pk", "name"))
    labelled = ground_truth.labelled_samples(colours)
    further = ground_truth.additional_categories(colours)
    pages = broken_pages()  # before a new prediction changes what is counted
    models = (Sample, Feedback, Decision, DatasetVersion, TrainingRun, ImportedProject)
    counts = {model.__name__: model.objects.count() for model in models}
    again = classification.classify_upload(colours, make_upload(colour="red"), by=red.user)
    return {
        "jobs": sorted({(each.kind, each.status, each.error) for each in Job.objects.all()}),
        "predictions": {
            str(each.uuid): each.scores
            for each in Prediction.objects.filter(project=colours, batch_item__isnull=True).exclude(
                pk=again.pk
            )
        },
        "red": {"file": again.sample.sha256, "scores": again.scores},
        "decisions": list(
            Decision.objects.order_by("pk").values_list(
                "sample__sha256", "outcome", "category__name"
            )
        ),
        "vectors": [vectors[key].tolist() for key in vectors],
        "counts": counts,
        "truth": {each.sha256: category_names[each.true_category_id] for each in labelled},
        "further": {
            Sample.objects.get(pk=key).sha256: [category_names[each] for each in value]
            for key, value in further.items()
        },
        "kept": [
            name
            for name in ("colours/stray.jpg", "colours/gone.zip")
            if storages["uploads"].exists(name)
        ],
        "training_key": key,
        "broken_pages": pages,
    }


def broken_pages() -> list[str]:
    """Open every page of the access matrix as the maintainer, with objects of this database."""
    from django.db import transaction
    from django.test import Client
    from django.urls import reverse

    from accounts.models import ApiToken, Invitation, User
    from classifr.tests.access_matrix import ROWS
    from classifr.tests.access_world import World
    from common.models import Job
    from customvision.models import ImportedProject, ServiceAccess
    from notifications.models import Kind, Notification
    from predictions.models import Batch, ModelVersion, Prediction, ProjectMembership
    from training.models import DatasetImport, Sweep, TrainingRun

    version = ModelVersion.objects.get(project__slug="colours")
    run = TrainingRun.objects.first()
    world = World(
        user=User.objects.get(username="user"),
        other=User.objects.get(username="other"),
        reviewer=User.objects.get(username="reviewer"),
        maintainer=User.objects.get(username="maintainer"),
        project=version.project,
        version=version,
        category=version.project.categories.first(),
        prediction=Prediction.objects.filter(project=version.project).first(),
        batch=Batch.objects.first(),
        run=run,
        sweep=Sweep.objects.create(project=run.project, dataset=run.dataset),
        token=ApiToken.objects.first(),
        member=ProjectMembership.objects.create(
            project=version.project, user=User.objects.get(username="other"), role="user"
        ),
        invitation=Invitation.objects.first(),
        invitation_token="unknown",
        imported=ImportedProject.objects.first(),
        access=ServiceAccess.objects.first(),
        failed_job=Job.objects.filter(status=Job.Status.FAILED).first(),
        sent=DatasetImport.objects.create(project=version.project, name="a.zip"),
        notification=Notification.objects.create(
            user=User.objects.get(username="user"), kind=Kind.SPACE, text="quota", url="/history/"
        ),
    )
    broken = []
    for visitor in (world.user, world.maintainer):
        client = Client(raise_request_exception=False, SERVER_NAME="localhost")
        client.force_login(visitor)
        for name, rows in ROWS.items():
            for row in rows:
                if row.method != "GET" or "{" in str(row.kwargs):
                    continue
                with transaction.atomic():
                    status = client.get(reverse(name, kwargs=row.kwargs(world))).status_code
                    transaction.set_rollback(True)
                if status >= 500:
                    broken.append(f"{status} {name}")
    return broken


if __name__ == "__main__":
    main(sys.argv[1])
