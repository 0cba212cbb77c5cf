"""What tests of imports are made of, beside the factories of the walls below."""

from uuid import uuid4

from django.utils import timezone

from accounts.models import User
from customvision.models import ImportedProject, ServiceAccess
from predictions.models import Project
from predictions.tests.factories import make_project


def make_imported(project: Project | None = None, **fields) -> ImportedProject:
    """Make the row of a project that was brought home, with nothing in it."""
    fields = {"remote_id": uuid4(), "endpoint": "https://example.com", "name": "Plates"} | fields
    return ImportedProject.objects.create(
        project=project or make_project(),
        finished_at=fields.pop("finished_at", timezone.now()),
        **fields,
    )


def make_forgotten_access(by: User) -> ServiceAccess:
    """Make the row of a key that cannot be read any more."""
    return ServiceAccess.objects.create(
        endpoint="https://example.com", sealed_key="too old", given_by=by
    )
