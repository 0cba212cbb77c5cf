"""Mails to maintainers about runs that nobody asked for and so nobody waits for."""

from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import roles
from accounts.models import User
from common.tasks import task
from predictions.models import Project, ProjectMembership
from training.models import TrainingRun


def announce(run: TrainingRun) -> None:
    """Have the maintainers told how a run ended that began by itself.

    Call it in the transaction that ends the run: the mail is sent if and only if the run has ended.
    """
    if run.trigger:
        mail_maintainers.enqueue(run_key=run.pk)


@task(
    "training.mail_maintainers",
    stored_as={"run_key": "run"},
    title=gettext_lazy("Tell the maintainers how a run ended"),
)
def mail_maintainers(run_key: int) -> None:
    """Mail the maintainers of a run's project how it ended.

    Raises what the client of the mail server raises.
    """
    run = TrainingRun.objects.select_related("project", "model_version").filter(pk=run_key).first()
    if run is None or not (addresses := _addresses(run.project)):
        return
    subject = _("%(project)s: run %(number)d has ended") % {
        "project": run.project.name,
        "number": run.number,
    }
    text = render_to_string("training/run_ended.txt", {"run": run})
    # No maintainer need learn the addresses of the others
    EmailMessage(f"[Classifr] {subject}", text, None, bcc=addresses).send()


def _addresses(project: Project) -> list[str]:
    if project.is_private:
        people = User.objects.filter(is_active=True, is_superuser=True)
    else:
        people = User.objects.with_perm(
            roles.TRAIN,
            backend="django.contrib.auth.backends.ModelBackend",
            include_superusers=True,
        )
    members = User.objects.filter(
        is_active=True,
        project_memberships__project=project,
        project_memberships__role=ProjectMembership.Role.MAINTAINER,
    )
    found = {email for each in (people, members) for email in each.values_list("email", flat=True)}
    return sorted(found - {""})
