"""Exports: a local model as an archive for other machines, built by the worker."""

import logging
from typing import Any

from django.core import signing
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.http import FileResponse, Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from accounts import roles
from common import jobs
from common.errors import DomainError, Unavailable
from common.tasks import task
from customvision.api import iterations
from customvision.api.api_request import ApiRequest
from customvision.api.errors import ApiError, not_implemented
from customvision.api.routing import Reply, register_operation
from customvision.models import Export
from predictions import registry
from training import exports

logger = logging.getLogger(__name__)

SALT = "customvision.api.exports"
SECONDS = 24 * 3600
STORAGE = "models"
SINCE_FLAVORS = (3, 1)  # before, the specification has flavors of containers only
PLATFORMS = ("CoreML", "TensorFlow", "DockerFile", "ONNX", "VAIDK", "OpenVino")
# Platform and flavor to the archive that is meant; both flavors of ONNX are the same file
KINDS = {
    ("TensorFlow", ""): "saved_model",
    ("TensorFlow", "TensorFlowNormal"): "saved_model",
    ("TensorFlow", "TensorFlowLite"): "lite",
    ("ONNX", ""): "onnx",
    ("ONNX", "ONNX10"): "onnx",
    ("ONNX", "ONNX12"): "onnx",
}


@register_operation("GetExports", "GET", f"{iterations.ONE}/export", roles.TRAIN)
def get_exports(call: ApiRequest) -> Reply:
    one = iterations.iteration_from_path(call)
    active = set(build_export.active_jobs().values_list("key", flat=True))
    return Reply(
        [_answer(call, export, is_active=export.job_key in active) for export in one.exports.all()]
    )


@register_operation("ExportIteration", "POST", f"{iterations.ONE}/export", roles.TRAIN)
def request_export(call: ApiRequest) -> Reply:
    """Have an archive built. An existing one is returned at once, a failed one tried again."""
    one = iterations.iteration_from_path(call)
    platform, flavor = _known(call.required("platform"), call.text("flavor"))
    if one.run and one.run.is_active:
        raise ApiError("BadRequestExportWhileTraining", "The iteration is being trained.")
    if one.version is None:
        raise ApiError("BadRequestIterationIsNotTrained", "The iteration is not trained.")
    if one.version.predictor != exports.PREDICTOR:
        raise not_implemented(
            f"exports of models that are served by the predictor {one.version.predictor}"
        )
    found, _created = Export.objects.get_or_create(iteration=one, platform=platform, flavor=flavor)
    if not found.file_name:
        try:
            build_export.using(key=found.job_key).enqueue(export_key=found.pk)
        except jobs.AlreadyEnqueued as error:
            raise ApiError(
                "BadRequestExportAlreadyInProgress", "This export is already in progress."
            ) from error
        Export.objects.filter(pk=found.pk).update(error="")
    return Reply(_answer(call, found, is_active=True))


@task(
    "customvision.export",
    queue="training",
    stored_as={"export_key": "export"},
    title=gettext_lazy("Make an archive of a model for the Custom Vision API"),
)
def build_export(export_key: int) -> None:
    """Build the archive, in a worker. Safe to repeat."""
    found = Export.objects.select_related(
        "iteration__run__model_version", "iteration__own_version__project"
    )
    one = found.filter(pk=export_key, file_name="").first()
    if one is None or (version := one.iteration.version) is None:
        return
    try:
        labels = registry.class_names_now(version)
        data = exports.build_archive(
            registry.model_ref(version), labels, KINDS[one.platform, one.flavor]
        )
    except Unavailable as error:
        raise jobs.RetryLater(str(error)) from error
    except DomainError as error:
        # Another try would fail as well, so the job ends here and clients see the status Failed
        Export.objects.filter(pk=one.pk).update(error=str(error)[:500])
        return
    name = f"{version.project.slug}/exports/{one.uuid}.zip"
    storages[STORAGE].delete(name)  # from an attempt that was interrupted
    Export.objects.filter(pk=one.pk).update(
        file_name=storages[STORAGE].save(name, ContentFile(data)), error=""
    )


@require_safe
def download_export(request: HttpRequest, token: str) -> HttpResponseBase:
    """Serve an archive to whoever has a signed URL of it that has not expired."""
    try:
        uuid = signing.TimestampSigner(salt=SALT).unsign(token, max_age=SECONDS)
    except signing.BadSignature as error:
        raise Http404 from error
    one = Export.objects.filter(uuid=uuid, iteration__deleted_at=None).exclude(file_name="").first()
    if one is None:
        raise Http404
    try:
        file = storages[STORAGE].open(one.file_name)
    except FileNotFoundError as error:
        raise Http404 from error
    except Exception as error:  # each storage raises the errors of its own SDK
        logger.warning("An export cannot be read", exc_info=error)
        raise Unavailable("The storage that holds the models does not answer now.") from error
    response = FileResponse(file, as_attachment=True, filename=f"{one.flavor or one.platform}.zip")
    response["Content-Type"] = "application/zip"
    response["Cache-Control"] = "private, no-store"
    return response


def _known(platform: str, flavor: str) -> tuple[str, str]:
    """Return platform and flavor as the specification spells them. Raises ApiError."""
    names = {name.lower(): name for name in PLATFORMS}
    if platform.lower() not in names:
        raise ApiError("BadRequestProjectUnsupportedExportPlatform", "Unknown export platform")
    platform = names[platform.lower()]
    flavors = {own.lower(): own for known, own in KINDS if known == platform}
    if not flavors:
        raise not_implemented(f"exports to {platform}; TensorFlow and ONNX are there")
    if flavor.lower() not in flavors:
        raise ApiError("BadRequestExportValidationFailed", f"Unknown flavor of {platform}")
    return platform, flavors[flavor.lower()]


def _answer(call: ApiRequest, one: Export, *, is_active: bool) -> dict[str, Any]:
    """Return an export as clients get it."""
    # A job that has ended without an archive has failed, whether or not it could say why
    status = "Done" if one.file_name else "Exporting" if is_active else "Failed"
    answer: dict[str, Any] = {
        "platform": one.platform,
        "status": status,
        "newerVersionAvailable": False,
    }
    if one.flavor and call.version >= SINCE_FLAVORS:
        answer["flavor"] = one.flavor
    if one.file_name:
        token = signing.TimestampSigner(salt=SALT).sign(str(one.uuid))
        answer["downloadUri"] = call.request.build_absolute_uri(
            reverse("customvision:export", args=[token])
        )
    return answer
