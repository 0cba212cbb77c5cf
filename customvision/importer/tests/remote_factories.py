"""Projects of the stand-in for Custom Vision, as a customer left them."""

from io import StringIO

from django.core.management import call_command

from customvision.client.tests.stand_in import StandIn
from customvision.client.tests.world import Iteration, Project, Stored, Tag, now
from predictions.tests.factories import make_picture_bytes


def plate(shade: int) -> bytes:
    return make_picture_bytes((shade, shade, shade), format="PNG")


def make_remote(service: StandIn, *, each: int = 5, name: str = "Plates", **fields) -> Project:
    """Put a project with the tags dark and light on the stand-in, and so many images of each."""
    project = Project(name, "What is on it", **fields)
    service.projects[project.id] = project
    for tag, first in ((Tag("dark", "nearly black"), 5), (Tag("light"), 200)):
        project.tags[tag.id] = tag
        for shade in range(first, first + each):
            project.put(plate(shade), [tag.id])
    return project


def make_iteration(
    project: Project, *, name: str = "Iteration 1", published: str = "production"
) -> Iteration:
    """Train the stand-in's project, and publish what came of it."""
    images = {image.id: dict(image.tags) for image in project.images.values()}
    made = Iteration(name, project.content, project.learn(), polls_left=0, images=images)
    made.status, made.trained, made.publish_name = "Completed", now(), published
    project.iterations[made.id] = made
    return made


def make_stored(project: Project, iteration: Iteration, shade: int) -> Stored:
    """Have the service keep a prediction with its picture."""
    said = [
        {
            "probability": value,
            "tagId": id_,
            "tagName": project.tags[id_].name,
            "tagType": "Regular",
        }
        for id_, value in iteration.model.probabilities(plate(shade))
    ]
    stored = Stored(
        plate(shade), iteration.id, "phone", said, f"00000000-0000-4000-8000-{shade:012d}"
    )
    project.predictions[stored.id] = stored
    return stored


def bring_home(service: StandIn, *arguments: str, **options) -> str:
    """Run the command against the stand-in; return what it told."""
    out = StringIO()
    options = {
        "endpoint": service.endpoint,
        "training_key": service.training_key,
        "stdout": out,
    } | options
    call_command("import_customvision", *(arguments or ["--all"]), **options)
    return out.getvalue()
