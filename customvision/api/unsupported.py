"""Operations of Custom Vision that Classifr lacks: each is refused in the service's own form."""

from accounts import roles
from customvision.api.api_request import ApiRequest, Version
from customvision.api.errors import not_implemented
from customvision.api.routing import Reply, register_operation

PROJECT = "projects/{projectId}"
ITERATION = f"{PROJECT}/iterations/{{iterationId}}"
DETECT = "{projectId}/detect/iterations/{publishedName}"
OBJECTS = "object detection"
MISSING: list[tuple[str, str, str, str, Version]] = [
    ("CreateImageRegions", "POST", f"{PROJECT}/images/regions", "regions of images", (3, 0)),
    ("DeleteImageRegions", "DELETE", f"{PROJECT}/images/regions", "regions of images", (3, 0)),
    (
        "GetImageRegionProposals",
        "POST",
        f"{PROJECT}/images/{{imageId}}/regionproposals",
        "regions of images",
        (3, 0),
    ),
    ("UpdateImageMetadata", "POST", f"{PROJECT}/images/metadata", "metadata of images", (3, 3)),
    (
        "SuggestTagsAndRegions",
        "POST",
        f"{PROJECT}/tagsandregions/suggestions",
        "suggested tags",
        (3, 1),
    ),
    (
        "GetImagePerformances",
        "GET",
        f"{ITERATION}/performance/images",
        "the performance on single images",
        (3, 0),
    ),
    (
        "GetImagePerformanceCount",
        "GET",
        f"{ITERATION}/performance/images/count",
        "the performance on single images",
        (3, 0),
    ),
    ("ExportProject", "GET", f"{PROJECT}/export", "copies of projects", (3, 2)),
    ("ImportProject", "POST", "projects/import", "copies of projects", (3, 2)),
    ("GetArtifact", "GET", f"{PROJECT}/artifacts", "artifacts", (3, 3)),
]
DETECTION = {
    "DetectImage": "image",
    "DetectImageWithNoStore": "image/nostore",
    "DetectImageUrl": "url",
    "DetectImageUrlWithNoStore": "url/nostore",
}


def _register(
    name: str, method: str, template: str, what: str, permission: str, area: str, since: Version
) -> None:
    @register_operation(name, method, template, permission, area=area, since=since)
    def refuse(call: ApiRequest) -> Reply:
        raise not_implemented(what)


for name, method, template, what, since in MISSING:
    _register(name, method, template, what, roles.TRAIN, "training", since)
for name, ending in DETECTION.items():
    _register(name, "POST", f"{DETECT}/{ending}", OBJECTS, roles.CLASSIFY, "prediction", (3, 0))
NAMES = {name for name, *_rest in MISSING} | set(DETECTION)
