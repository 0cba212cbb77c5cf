"""Background work that fails: maintainers see it, and can have it tried again."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import roles
from accounts.permissions import may
from common import jobs, tasks
from common.models import Job

MAX_SHOWN = 100


@require_safe
@may(roles.TRAIN)
def show_trouble(request: HttpRequest) -> HttpResponse:
    """List what has failed, and what fails over and over, the newest first."""
    # A web process enqueues tasks, but need not have imported those of every app
    tasks.autodiscover()
    # One more than is shown tells whether there are more; a count would read them all.
    found = list(Job.objects.in_trouble()[: MAX_SHOWN + 1])
    rows = [{"job": job, "what": tasks.title_of(job.kind)} for job in found[:MAX_SHOWN]]
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
