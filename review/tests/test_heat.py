import pytest
from django.urls import reverse

from predictions.tests.factories import make_user
from predictions.tests.test_explanations import (
    CORNERS,
    grey_with,
    make_asked,
    models_of_this_test,  # noqa: F401 (a fixture: the tiny model lies in a folder of its own)
)

pytestmark = pytest.mark.django_db


def test_a_reviewer_sees_the_heat_map_of_an_answer_that_somebody_else_got(client):
    prediction = make_asked(grey_with(("red", CORNERS["top left"])))
    heat = reverse("review:heat", args=[prediction.sample.uuid])
    client.force_login(make_user("user"))
    assert client.get(heat).status_code == 403
    client.force_login(make_user("reviewer"))
    answer = client.get(heat)
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
