"""What tests are made of: plain functions with defaults, each making only what it needs."""

import io
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from accounts import roles
from accounts.models import User
from predictions import registry, uploads
from predictions.models import Category, Feedback, ModelVersion, Prediction, Project, Sample

PASSWORD = "correct horse battery staple"
CLASS_NAMES = ("gnocchi", "risotto", "tiramisu")

_numbers = count(1)


def make_user(role: str = "user", *, username: str = "", **fields: Any) -> User:
    """Make a user with this role (`""`: none) and `PASSWORD`."""
    username = username or f"{role or 'nobody'}-{next(_numbers)}"
    fields.setdefault("email", f"{username}@example.org")
    user = User.objects.create_user(username, password=fields.pop("password", PASSWORD), **fields)
    if role:
        roles.assign_role(user, roles.Role(role))
    return user


def make_project(
    name: str = "", *, slug: str = "", categories: Sequence[str] = (), **fields: Any
) -> Project:
    """Make a project, with these categories."""
    number = next(_numbers)
    project = Project.objects.create(
        name=name or f"Dishes {number}", slug=slug or f"dishes-{number}", **fields
    )
    Category.objects.bulk_create(Category(project=project, name=each) for each in categories)
    return project


def make_category(project: Project | None = None, name: str = "", **fields: Any) -> Category:
    return Category.objects.create(
        project=project or make_project(), name=name or f"category {next(_numbers)}", **fields
    )


def make_picture_bytes(
    colour: str | tuple[int, int, int] = "",
    size: tuple[int, int] = (64, 48),
    format: str = "JPEG",
    **options: Any,
) -> bytes:
    """Return an encoded picture of one colour; without a colour, one never returned before.

    `options` go to Pillow's `save`. The dummy predictor answers by brightness: "black" is the first
    class.
    """
    number = next(_numbers)
    image = Image.new("RGB", size, colour or (number % 256, number // 256 % 256, 96))
    if (
        not colour
    ):  # the number in black and white blocks: colours next to each other can be the same JPEG
        block = max(1, size[0] // 8)
        for bit in range(16):
            shade = 255 * (number >> bit & 1)
            image.paste(
                (shade,) * 3,
                (bit % 8 * block, bit // 8 * block, (bit % 8 + 1) * block, (bit // 8 + 1) * block),
            )
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def make_upload(
    data: bytes | None = None,
    *,
    name: str = "dinner.jpg",
    media_type: str = "image/jpeg",
    **picture: Any,
):
    """Return an uploaded file as a view gets it; `picture` goes to `make_picture_bytes`."""
    return SimpleUploadedFile(
        name, make_picture_bytes(**picture) if data is None else data, media_type
    )


def make_sample(
    project: Project | None = None,
    *,
    by: User | None = None,
    data: bytes | None = None,
    location: str = Sample.Location.UPLOADS,
    **fields: Any,
) -> Sample:
    """Make a sample whose picture really is in the storage of `location`."""
    project = project or make_project()
    sample = Sample(project=project, location=location, uploaded_by=by, **fields)
    sample.sha256 = fields.get("sha256") or f"{next(_numbers):064x}"
    if location != Sample.Location.NOWHERE:
        data = data or make_picture_bytes()
        sample.width, sample.height, sample.size_bytes, sample.media_type = (
            64,
            48,
            len(data),
            "image/jpeg",
        )
        sample.file_name = sample.storage.save(
            f"{project.slug}/{sample.uuid}.jpg", ContentFile(data)
        )
    sample.save()
    return sample


def make_model_version(
    project: Project | None = None, class_names: Sequence[str] = CLASS_NAMES, **fields: Any
) -> ModelVersion:
    """Register a model version that the dummy predictor serves, with its categories."""
    project = project or make_project()
    for name in class_names:
        Category.objects.get_or_create(project=project, name=name)
    fields = {"predictor": "dummy", "reference": "dummy"} | fields
    return registry.register_version(project, class_names=list(class_names), **fields)


def make_live_model(
    project: Project | None = None, class_names: Sequence[str] = CLASS_NAMES, **fields: Any
) -> ModelVersion:
    """Register a model version and promote it."""
    version = make_model_version(project, class_names, **fields)
    registry.promote_version(version, by=None, reason="test")
    return version


def make_prediction(
    user: User | None = None,
    *,
    sample: Sample | None = None,
    model_version: ModelVersion | None = None,
    project: Project | None = None,
    scores: Mapping[str, float] | None = None,
    **fields: Any,
) -> Prediction:
    """Make a prediction of a new picture by the live model, for a new user where none is given."""
    user = user or make_user()
    if project is None:
        project = (
            sample.project if sample else model_version.project if model_version else make_project()
        )
    version = model_version or registry.live_version(project) or make_live_model(project)
    scores = dict(
        scores or {name: 0.8 if i == 0 else 0.1 for i, name in enumerate(version.class_names)}
    )
    top = max(scores, key=lambda name: scores[name])
    return Prediction.objects.create(
        project=project,
        sample=sample or make_sample(project, by=user),
        model_version=version,
        user=user,
        scores=scores,
        **{
            "top": Category.objects.filter(project=project, name=top).first(),
            "confidence": scores[top],
            "latency_ms": 12.5,
            "shown_name": "dinner.jpg",
        }
        | fields,
    )


def make_feedback(
    prediction: Prediction | None = None,
    verdict: str = Feedback.Verdict.NOK,
    *,
    user: User | None = None,
    **fields: Any,
) -> Feedback:
    """Make the user's verdict as a row; `feedback.give_feedback` also does what follows from it."""
    prediction = prediction or make_prediction()
    return Feedback.objects.create(
        prediction=prediction, user=user or prediction.user, verdict=verdict, **fields
    )


def keep_picture(project, picture, **options) -> tuple[Sample, bool]:
    """Store a picture with nothing beside it."""
    with uploads.kept(project, picture, **options) as found:
        return found
