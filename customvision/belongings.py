"""What Custom Vision has of projects and samples, for whoever deletes those."""

from collections.abc import Sequence
from uuid import uuid4

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from customvision.models import (
    Export,
    ImportedImage,
    ImportedPrediction,
    ImportedProject,
    TrainingImage,
)
from predictions.models import Project, Sample
from training.lifecycle import belongings
from training.lifecycle.belongings import Belongings, StoredFile


@belongings.register
class CustomVisionBelongings(Belongings):
    """Archives of exports, and which row is which remote object."""

    def obstacle(self, project: Project) -> str:
        imports = ImportedProject.objects.filter(project=project).select_related("job")
        if any(one.is_active for one in imports):
            return _(
                "The project is being imported from Custom Vision: cancel that on its page or wait "
                "for it, then try again."
            )
        return ""

    def let_go(self, project: Project) -> None:
        # Unlinked from the remote project, so that it can be imported again while this one goes
        ImportedProject.objects.filter(project=project).update(remote_id=uuid4())

    def rows(self, project: Project) -> Sequence[QuerySet]:
        return (
            ImportedImage.objects.filter(imported__project=project),
            ImportedPrediction.objects.filter(imported__project=project),
        )

    def files(self, project: Project) -> Sequence[StoredFile]:
        return export_files(Export.objects.filter(iteration__project=project))

    def labels_withdrawn(self, samples: Sequence[Sample]) -> None:
        # Untagged it is still an image, even if it was labelled on Classifr's own pages
        TrainingImage.objects.bulk_create(
            (TrainingImage(sample=sample) for sample in samples), ignore_conflicts=True
        )


def export_files(exports: QuerySet[Export]) -> list[StoredFile]:
    """Return the archives of exports."""
    names = exports.exclude(file_name="").values_list("file_name", flat=True)
    return [("models", name) for name in names]
