"""What Azure adds to the pages, in a real browser: layout, accessibility, pictures from Azure."""

import pytest

from predictions.models import Sample
from predictions.tests.factories import (
    make_live_model,
    make_prediction,
    make_project,
    make_sample,
    make_user,
)
from scripts.services import wait_until
from training.models import TrainingRun
from training.tests.factories import make_trained

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]

FIGURES = {"precision": 0.91, "recall": 0.88, "average_precision": None}


def test_a_run_at_azure_and_an_answer_of_a_stand_in_fit_a_phone(
    live_server, new_page, sign_in, assert_accessible, problems
):
    version = make_trained()
    kept = {
        "project_name": "classifr-dishes",
        "iteration_name": "Iteration 3",
        "images": 240,
        "performance": FIGURES,
    }
    version.manifest |= {
        "custom_vision": kept | {"by_tag": {"a name without any space in it" * 3: FIGURES}}
    }
    version.save()
    maintainer = make_user("maintainer")
    stand_in = make_prediction(maintainer, model_version=version)
    stand_in.stood_in_for = make_live_model(version.project, predictor="azure")
    stand_in.save()
    page = new_page(live_server.url, viewport={"width": 360, "height": 740})
    sign_in(page, maintainer)
    run = TrainingRun.objects.get()
    for address, text in (
        (f"/training/runs/{run.pk}/", "What Custom Vision reports"),
        (
            stand_in.get_absolute_url(),
            "Answered by the local model v1, since Azure did not answer.",
        ),
        ("/predictions/", "local model v1, since Azure did not answer"),
    ):
        page.goto(address)
        assert page.get_by_text(text).is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert_accessible(page)


def test_a_picture_in_azure_is_shown_by_its_link_under_the_content_policy(
    live_server, new_page, sign_in, problems, azurite, settings
):
    problems.expect()  # the storage is another origin, as it is to be
    origin = azurite.connection_string.partition("BlobEndpoint=")[2].rpartition("/")[0]
    policy = settings.CONTENT_SECURITY_POLICY
    directives = policy["DIRECTIVES"] | {"img-src": [*policy["DIRECTIVES"]["img-src"], origin]}
    settings.CONTENT_SECURITY_POLICY = policy | {"DIRECTIVES": directives}
    options = {
        "connection_string": azurite.connection_string,
        "azure_container": "shown",
        "expiration_secs": 300,
    }
    backend = {
        "BACKEND": "common.blob_storages.AzureBlobStorage",
        "OPTIONS": options | {"timeout": 5},
    }
    settings.STORAGES = settings.STORAGES | {"misclassified": backend}
    settings.AZURE_STORAGE_LINKS = True
    user = make_user()
    project = make_project()
    sample = make_sample(project, by=user, location=Sample.Location.MISCLASSIFIED)
    page = new_page(live_server.url)
    sign_in(page, user)
    page.goto(make_prediction(user, sample=sample, project=project).get_absolute_url())
    wait_until(
        lambda: page.evaluate("document.querySelector('img.picture').naturalWidth") > 0,
        "the picture",
    )
