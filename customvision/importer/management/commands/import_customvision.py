import logging
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from common import jobs, tasks
from common.errors import DomainError
from common.models import Job
from customvision.importer import import_jobs
from customvision.importer.service import RemoteProject
from customvision.models import ImportedProject, ServiceAccess
from training.management.terminal import MAX_ROWS, TerminalProgress, cancel_on_signal, format_table
from training.management.training_command import INTERRUPTED
from training.runs.execution import Interrupted


class Command(BaseCommand):
    help = (
        "Bring projects home from Azure Custom Vision or from a server in its place: categories, "
        "pictures,"
        " labels, and the figures of past iterations. Again: goes on where it stopped, takes up "
        "what is new."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("projects", nargs="*", metavar="PROJECT", help="Name or id.")
        parser.add_argument(
            "--all", action="store_true", help="All projects that classify pictures."
        )
        parser.add_argument(
            "--list", action="store_true", help="Show which projects there are, and import nothing."
        )
        parser.add_argument(
            "--endpoint",
            default=settings.AZURE_CUSTOM_VISION_TRAINING_ENDPOINT,
            help="Of the training resource. Default: AZURE_CUSTOM_VISION_TRAINING_ENDPOINT.",
        )
        parser.add_argument(
            "--training-key",
            default="",
            metavar="KEY",
            help="Default: AZURE_CUSTOM_VISION_TRAINING_KEY, where nobody else on this machine "
            "sees it.",
        )
        parser.add_argument(
            "--with-predictions",
            action="store_true",
            help="Stored predictions with their pictures too.",
        )
        parser.add_argument(
            "--verify",
            action="store_true",
            help="Fetch all pictures again and compare their digests.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not (options["projects"] or options["all"] or options["list"]):
            raise CommandError("Name projects, or say --all; --list shows which there are.")
        tasks.autodiscover()
        key = options["training_key"] or settings.AZURE_CUSTOM_VISION_TRAINING_KEY
        try:
            access = import_jobs.store_access(options["endpoint"], key, by=None)
            try:
                self._import(access, options)
            finally:
                # Nobody else needs the key: this process does the import itself
                ServiceAccess.objects.filter(pk=access.pk).delete()
        except DomainError as error:
            raise CommandError(str(error)) from error

    def _import(self, access: ServiceAccess, options: dict[str, Any]) -> None:
        found = import_jobs.open_service(access).projects()
        if options["list"]:
            rows = [
                [
                    one.name,
                    str(one.id),
                    "object detection, cannot be imported"
                    if one.is_detection
                    else one.classification_type,
                ]
                for one in found
            ]
            self.stdout.write(format_table(["project", "id", "type"], rows))
            return
        chosen = [one for one in found if not one.is_detection] if options["all"] else []
        chosen += [
            one
            for name in options["projects"]
            if (one := import_jobs.select_project(found, name)) not in chosen
        ]
        # All are tried, even if one is incomplete
        complete = [self._import_project(access, one, options) for one in chosen]
        if not all(complete):
            raise CommandError(
                "Something is missing: see the reports above. Run it again: what is here stays."
            )

    def _import_project(
        self, access: ServiceAccess, found: RemoteProject, options: dict[str, Any]
    ) -> bool:
        """Import one project in this process; return whether it is complete."""
        imported, job = import_jobs.begin_import(
            access,
            found,
            with_predictions=options["with_predictions"],
            checks_bytes=options["verify"],
        )
        self.stdout.write(f"Importing “{found.name}” into the project {imported.project.slug}")
        bar = TerminalProgress(self.stdout)
        try:
            with cancel_on_signal():
                jobs.run_job(job, watcher=bar)
        except Interrupted:
            logging.getLogger(__name__).info("import %s interrupted", imported.pk)
        finally:
            bar.close()
        job.refresh_from_db()
        if job.status == Job.Status.FAILED:
            raise CommandError(f"{job.error} What came until then is kept: run it again to go on.")
        if job.status != Job.Status.SUCCEEDED:
            jobs.request_cancel(job)
            raise CommandError(
                "Stopped. Run it again: it goes on from there.", returncode=INTERRUPTED
            )
        imported.refresh_from_db()
        self._write_report(imported)
        return imported.report["complete"]

    def _write_report(self, imported: ImportedProject) -> None:
        report = imported.report
        rows = []
        for tag in report["tags"]:
            mark = "" if tag["type"] == "Regular" else f" ({tag['type']})"
            rows.append([f"{tag['name']}{mark}", *_counts(tag)])
        rows.append(["all images", *_counts(report["images"])])
        if report["predictions"]:
            rows.append(["stored predictions", *_counts(report["predictions"])])
        self.stdout.write(format_table(["", "there", "here", "failed"], rows))
        images = report["images"]
        self.stdout.write(
            f"{images['new']} fetched now, {images['labelled']} labelled now; {images['untagged']} "
            f"without a tag,"
            f" {images['several_tags']} with several tags, {images['same_bytes']} with the same "
            f"bytes as another;"
            f" {report['iterations']} iterations."
        )
        if images["several_tags"]:
            self.stdout.write(
                self.style.WARNING(
                    "A picture has one category here: those with several tags are kept without a "
                    "label."
                )
            )
        if images["gone"]:
            self.stdout.write(
                f"{images['gone']} came with an earlier import and are deleted there now; they "
                f"stay here."
            )
        self._list("Not here:", [f"{one['id']}: {one['reason']}" for one in report["failures"]])
        self._list("Without a label, several tags:", report["several"])
        self._list(
            "Ruled otherwise here, left alone:",
            [f"{one['id']}: {one['here']}" for one in report["conflicts"]],
        )
        self._list("Came with other bytes than before:", report["differing"])
        verdict = "Complete: everything was imported." if report["complete"] else "Not complete."
        self.stdout.write((self.style.SUCCESS if report["complete"] else self.style.ERROR)(verdict))

    def _list(self, title: str, lines: list[str]) -> None:
        if lines:
            self.stdout.write(title)
        for line in lines[:MAX_ROWS]:
            self.stdout.write(f"  {line}")
        if len(lines) > MAX_ROWS:
            self.stdout.write(f"  ... and {len(lines) - MAX_ROWS} more")


def _counts(one: dict[str, int]) -> list[str]:
    return [str(one[name]) for name in ("there", "here", "failed")]
