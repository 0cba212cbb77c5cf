"""Background work that fails: maintainers see it, and can have it tried again."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from accounts import roles
from accounts.permissions import may
from common import jobs
from common.models import Job
from customvision.api import deletion, exports
from predictions import batches, outbox, retention, shadow_inference
from training.runs import execution

MAX_SHOWN = 100
WHAT: dict[str, Promise] = {
    outbox.store_misclassified.kind: gettext_lazy(
        "Keep a picture whose prediction a user marked as wrong"
    ),
    outbox.delete_moved_upload.kind: gettext_lazy("Check that a moved picture has arrived"),
    retention.delete_file.kind: gettext_lazy("Delete the file of a picture that is no longer kept"),
    batches.classify_batch.kind: gettext_lazy("Classify several pictures at once"),
    shadow_inference.answer_pending.kind: gettext_lazy("Ask the model in shadow"),
    execution.train_in_background.kind: gettext_lazy("Train a model"),
    # By name, as the importer may be deleted when the service has ended
    "training.import_custom_vision": gettext_lazy("Import a project from Custom Vision"),
    exports.build_export.kind: gettext_lazy("Make an archive of a model for the Custom Vision API"),
    deletion.erase_project.kind: gettext_lazy("Delete a project for the Custom Vision API"),
    deletion.remove_all_images.kind: gettext_lazy(
        "Delete the images of a project for the Custom Vision API"
    ),
    deletion.erase_tag.kind: gettext_lazy("Delete a tag for the Custom Vision API"),
    deletion.delete_stored_files.kind: gettext_lazy("Delete files for the Custom Vision API"),
}


@require_safe
@may(roles.TRAIN)
def show_trouble(request: HttpRequest) -> HttpResponse:
    """List what has failed, and what fails over and over, the newest first."""
    # One more than is shown tells whether there are more; a count would read them all.
    found = list(Job.objects.in_trouble()[: MAX_SHOWN + 1])
    rows = [{"job": job, "what": WHAT.get(job.kind, job.kind)} for job in found[:MAX_SHOWN]]
    return render(request, "background.html", {"rows": rows, "is_more": len(found) > MAX_SHOWN})


@require_POST
@may(roles.TRAIN)
def try_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Put a failed job back into the queue."""
    job = get_object_or_404(Job, pk=pk)
    try:
        # False where somebody else pressed the same button a moment before.
        is_waiting = jobs.try_again(job)
    except jobs.AlreadyEnqueued:
        is_waiting = False
    if is_waiting:
        messages.success(request, _("It is retried as soon as a worker is free."))
    else:
        messages.error(request, _("It was retried already. Check here in a minute for the result."))
    return redirect("background")
