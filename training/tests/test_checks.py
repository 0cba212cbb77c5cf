"""What is missing is named where it is used, and only there."""

import pytest

from predictions.tests.factories import make_live_model, make_project
from training.checks import check_backends_in_use


def told() -> list[str]:
    return [message.msg for message in check_backends_in_use(None)]


@pytest.mark.django_db
def test_nobody_has_to_set_up_azure():
    make_project()
    assert told() == []


@pytest.mark.django_db
def test_a_project_that_trains_at_azure_needs_it():
    make_project(slug="dishes", trainer="azure")
    (sentence,) = told()
    assert sentence.startswith(
        "The trainer of the project 'dishes' is 'azure', which needs: AZURE_CUSTOM_VISION_TRAINING_"
    )
    assert "AZURE_CUSTOM_VISION_PREDICTION_RESOURCE_ID" in sentence


@pytest.mark.django_db
def test_a_project_that_is_answered_by_azure_needs_less():
    make_live_model(make_project(slug="dishes"), predictor="azure")
    (sentence,) = told()
    assert "AZURE_CUSTOM_VISION_PREDICTION_KEY" in sentence and "TRAINING" not in sentence


def test_the_default_trainer_needs_it_even_before_there_is_a_database(settings):
    settings.DEFAULT_TRAINER = "azure"
    (sentence,) = told()
    assert sentence.startswith(
        "DEFAULT_TRAINER is 'azure', which needs: AZURE_CUSTOM_VISION_TRAINING_ENDPOINT"
    )


@pytest.mark.django_db
def test_with_everything_set_all_is_well(settings):
    endpoint = {"endpoint": "https://a.example", "key": "k"}
    for name, more in (("PREDICTORS", {}), ("TRAINERS", {"resource_id": "/subscriptions/s"})):
        backend = getattr(settings, name)["azure"]
        azure = {"azure": {"BACKEND": backend["BACKEND"], "OPTIONS": endpoint | more}}
        setattr(settings, name, getattr(settings, name) | azure)
    make_project(trainer="azure")
    make_live_model(predictor="azure")
    assert told() == []
