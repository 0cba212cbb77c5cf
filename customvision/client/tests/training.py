"""The training area without its images: projects, tags, iterations, performance."""

from typing import Any

from customvision.client.tests import answers
from customvision.client.tests.calls import Call, operation
from customvision.client.tests.faults import Refusal
from customvision.client.tests.world import (
    FOOD,
    GENERAL,
    MOST_ITERATIONS,
    Iteration,
    Project,
    Tag,
    now,
)

DOMAINS = {GENERAL: "General", FOOD: "Food"}


@operation("GET", "training", "domains")
def get_domains(call: Call) -> Any:
    return [answers.domain(id_, name) for id_, name in DOMAINS.items()]


@operation("GET", "training", "projects")
def get_projects(call: Call) -> Any:
    return [answers.project(one) for one in call.service.projects.values()]


@operation("POST", "training", "projects")
def create_project(call: Call) -> Any:
    name = call.query.get("name", "")
    if any(one.name == name for one in call.service.projects.values()):
        raise Refusal("BadRequestProjectNameNotUnique", "The project name is not unique.")
    if len(call.service.projects) >= call.service.most_projects:
        raise Refusal("BadRequestExceedProjectLimit", "The number of projects is exceeded.")
    made = Project(name, call.query.get("description", ""), call.query.get("domainId", GENERAL))
    made.classification = call.query.get("classificationType", "Multilabel")
    call.service.projects[made.id] = made
    return answers.project(made)


@operation("GET", "training", "projects/{projectId}")
def get_project(call: Call) -> Any:
    return answers.project(call.project)


@operation("DELETE", "training", "projects/{projectId}")
def delete_project(call: Call) -> Any:
    if any(one.publish_name for one in call.project.iterations.values()):
        raise Refusal(
            "BadRequestProjectDuplicated", "Unpublish the iterations of the project first."
        )
    del call.service.projects[call.project.id]
    return 204, None


@operation("GET", "training", "projects/{projectId}/tags")
def get_tags(call: Call) -> Any:
    return [
        answers.tag(one, len(call.project.tagged(one.id))) for one in call.project.tags.values()
    ]


@operation("POST", "training", "projects/{projectId}/tags")
def create_tag(call: Call) -> Any:
    name, kind = call.query.get("name", ""), call.query.get("type", "Regular")
    if any(one.name == name for one in call.project.tags.values()):
        raise Refusal("BadRequestTagNameNotUnique", "The tag name is not unique.")
    made = Tag(name, call.query.get("description"), kind)
    call.project.tags[made.id] = made
    return answers.tag(made, 0)


@operation("GET", "training", "projects/{projectId}/tags/{tagId}")
def get_tag(call: Call) -> Any:
    return answers.tag(call.tag, len(call.project.tagged(call.tag.id)))


@operation("PATCH", "training", "projects/{projectId}/tags/{tagId}")
def update_tag(call: Call) -> Any:
    call.tag.name = call.json.get("name") or call.tag.name
    call.tag.description = call.json.get("description")
    return get_tag(call)


@operation("DELETE", "training", "projects/{projectId}/tags/{tagId}")
def delete_tag(call: Call) -> Any:
    gone = call.tag.id
    for image in call.project.images.values():
        image.tags.pop(gone, None)
    del call.project.tags[gone]
    return 204, None


@operation("POST", "training", "projects/{projectId}/train")
def train_project(call: Call) -> Any:
    project = call.project
    if any(one.status == "Training" for one in project.iterations.values()):
        raise Refusal("BadRequestTrainingAlreadyInProgress", "The training is already in progress.")
    newest = next(reversed(project.iterations.values()), None)
    nothing_changed = newest is not None and not newest.fails and newest.content == project.content
    if nothing_changed and not call.is_true("forceTrain"):
        raise Refusal("BadRequestTrainingNotNeeded", "Nothing changed since last training")
    if len(project.iterations) >= MOST_ITERATIONS:
        raise Refusal(
            "BadRequestExceedIterationPerProjectLimit", "The number of iterations is exceeded."
        )
    made = Iteration(
        name=f"Iteration {len(project.iterations) + 1}",
        content=project.content,
        model=project.learn(),
        polls_left=call.service.polls_until_trained,
        fails=call.service.training_fails,
        images={image.id: dict(image.tags) for image in project.images.values()},
    )
    project.iterations[made.id] = made
    return answers.iteration(made, project)


@operation("GET", "training", "projects/{projectId}/iterations")
def get_iterations(call: Call) -> Any:
    return [answers.iteration(one, call.project) for one in call.project.iterations.values()]


@operation("GET", "training", "projects/{projectId}/iterations/{iterationId}")
def get_iteration(call: Call) -> Any:
    call.iteration.poll()
    return answers.iteration(call.iteration, call.project)


@operation("PATCH", "training", "projects/{projectId}/iterations/{iterationId}")
def update_iteration(call: Call) -> Any:
    call.iteration.name = call.json.get("name") or call.iteration.name
    return answers.iteration(call.iteration, call.project)


@operation("DELETE", "training", "projects/{projectId}/iterations/{iterationId}")
def delete_iteration(call: Call) -> Any:
    if call.iteration.publish_name:
        raise Refusal("BadRequestIterationIsPublished", "Unpublish the iteration first.")
    del call.project.iterations[call.iteration.id]
    return 204, None


@operation("GET", "training", "projects/{projectId}/iterations/{iterationId}/performance")
def get_iteration_performance(call: Call) -> Any:
    return answers.performance(
        call.iteration, call.project, float(call.query.get("threshold", 0.5))
    )


@operation("POST", "training", "projects/{projectId}/iterations/{iterationId}/publish")
def publish_iteration(call: Call) -> Any:
    one, name = call.iteration, call.query.get("publishName", "")
    if one.status != "Completed":
        raise Refusal("BadRequestIterationIsNotTrained", "The iteration is not trained.")
    if call.query.get("predictionId") != call.service.resource_id:
        raise Refusal("BadRequestInvalidPublishTarget", "The prediction resource is not valid.")
    taken = next(
        (other for other in call.project.iterations.values() if other.publish_name == name), None
    )
    if taken and not call.is_true("overwrite"):
        raise Refusal("BadRequestInvalidPublishName", "The publish name is taken.")
    if taken:
        taken.publish_name = taken.publish_target = None
    one.publish_name, one.publish_target, one.modified = name, call.query["predictionId"], now()
    return True


@operation("DELETE", "training", "projects/{projectId}/iterations/{iterationId}/publish")
def unpublish_iteration(call: Call) -> Any:
    if not call.iteration.publish_name:
        raise Refusal("BadRequestIterationNotPublished", "The iteration is not published.")
    call.iteration.publish_name = call.iteration.publish_target = None
    return 204, None
