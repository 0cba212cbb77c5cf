"""One small world with something of everything, for the access matrix."""

from dataclasses import dataclass
from typing import Any

from accounts.models import ApiToken, Invitation, User
from accounts.tests.factories import (
    make_invitation,
    make_maintainer,
    make_reviewer,
    make_token,
    make_user,
)
from common.models import Job
from customvision.models import ImportedProject, ServiceAccess
from customvision.tests.factories import make_forgotten_access, make_imported
from notifications.models import Kind, Notification
from predictions.models import (
    Batch,
    Category,
    ModelVersion,
    Prediction,
    Project,
    ProjectMembership,
)
from predictions.tests.factories import make_live_model, make_prediction, make_project, make_upload
from training.models import DatasetImport, Sweep, TrainingRun
from training.tests.factories import make_run


@dataclass(frozen=True)
class World:
    """What the user owns, what everybody shares, and who looks at it."""

    user: User
    other: User
    reviewer: User
    maintainer: User
    project: Project
    version: ModelVersion
    category: Category
    prediction: Prediction
    batch: Batch
    run: TrainingRun
    sweep: Sweep
    token: ApiToken
    invitation: Invitation
    invitation_token: str
    imported: ImportedProject
    access: ServiceAccess
    failed_job: Job
    member: ProjectMembership
    sent: DatasetImport
    notification: Notification

    def upload(self) -> Any:
        return make_upload()


def make_world() -> World:
    user, maintainer = make_user("user"), make_maintainer("maintainer")
    project = make_project("Dishes", slug="dishes")
    version = make_live_model(project)
    make_token(user)
    invitation, invitation_token = make_invitation("invited@example.com", by=maintainer)
    run = make_run()
    return World(
        user=user,
        other=make_user("other"),
        reviewer=make_reviewer("reviewer"),
        maintainer=maintainer,
        project=project,
        version=version,
        category=project.categories.first(),
        prediction=make_prediction(user, model_version=version),
        batch=Batch.objects.create(project=project, user=user),
        run=run,
        sweep=Sweep.objects.create(project=run.project, dataset=run.dataset),
        token=ApiToken.objects.get(user=user),
        invitation=invitation,
        invitation_token=invitation_token,
        imported=make_imported(project),
        member=ProjectMembership.objects.create(
            project=project, user=make_user("member"), role="user"
        ),
        access=make_forgotten_access(maintainer),
        sent=DatasetImport.objects.create(project=project, name="a.zip"),
        failed_job=Job.objects.create(
            kind="predictions.store_misclassified", status=Job.Status.FAILED, error="Gone."
        ),
        notification=Notification.objects.create(
            user=user, project=project, kind=Kind.NOK_ANSWERED, text="nok_answered", url="/history/"
        ),
    )
