"""The importer can import from our own compatible server, over real HTTP."""

from collections import Counter
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.tests.factories import make_maintainer, make_token, make_user
from common import jobs
from customvision.api.tests.factories import make_caller, make_published
from customvision.importer import service_comparison
from customvision.models import ImportedProject
from predictions.models import Project
from predictions.tests.factories import make_picture_bytes
from review import ground_truth
from training.runs import submission

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]


def bring_home(live_server, project, **options) -> str:
    out = StringIO()
    options = {"endpoint": live_server.url, "training_key": make_token(make_maintainer())} | options
    call_command("import_customvision", str(project.uuid), stdout=out, **options)
    return out.getvalue()


def truth(project: Project) -> Counter[str]:
    return Counter(
        ground_truth.labelled_samples(project).values_list("decisions__category__name", flat=True)
    )


@pytest.fixture
def there(live_server):
    """A project with labelled and unlabelled pictures, an iteration and a stored prediction."""
    caller = make_caller()
    project, _ids, _iteration = make_published(caller, name="live", pictures=20)
    caller.training(
        "POST", f"projects/{project.uuid}/images", make_picture_bytes((120,) * 3, format="PNG")
    )
    path = f"{project.uuid}/classify/iterations/live/image"
    assert (
        caller.prediction("POST", path, make_picture_bytes((60,) * 3, format="PNG")).status_code
        == 200
    )
    return project


def test_a_project_of_another_classifr_comes_home_and_learns(live_server, there):
    told = bring_home(live_server, there, with_predictions=True)
    assert "Complete: everything was imported." in told
    imported = ImportedProject.objects.get()
    here = imported.project
    assert here != there and here.uuid != there.uuid  # that id is taken on this server
    assert truth(here) == truth(there) == {"dark": 20, "light": 20}
    assert (imported.images.count(), imported.predictions.count()) == (41, 1)
    assert here.samples.count() == 42
    iteration = imported.iterations.get()
    assert iteration.published_as == "live" and set(iteration.performance["overall"]) == {
        "precision",
        "recall",
        "average_precision",
    }
    run = submission.submit_run(here, submission.RunOptions(trainer="dummy"), by=None)
    jobs.run_due_jobs("training")
    run.refresh_from_db()
    beside = service_comparison.compare_with_service(run.model_version.evaluations.get())
    assert [name for name, _pairs in beside.rows] == ["dark", "light"]


def test_the_second_time_nothing_is_new(live_server, there):
    bring_home(live_server, there)
    assert "0 fetched now, 0 labelled now" in bring_home(live_server, there)
    assert "Complete" in bring_home(live_server, there, verify=True)
    assert ImportedProject.objects.get().project.samples.count() == 41


def test_a_key_without_the_right_role_is_refused(live_server, there):
    with pytest.raises(CommandError, match="refuses|accept"):
        bring_home(live_server, there, training_key=make_token(make_user()))
    assert not ImportedProject.objects.exists()
