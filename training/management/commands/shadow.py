from typing import Any

from django.core.management.base import CommandError, CommandParser

from common.errors import DomainError
from predictions import registry, shadow_deployment
from predictions.models import ModelVersion
from training.evaluation import shadow_comparison
from training.evaluation.shadow_comparison import ShadowComparison
from training.evaluation.significance import PairedOutcomes
from training.management.terminal import ProjectCommand, format_table


class Command(ProjectCommand):
    help = (
        "Run a model version in shadow: it is asked about every upload too, and its answers are "
        "only compared."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "number", type=int, nargs="?", metavar="NUMBER", help="The number of the model version."
        )
        what.add_argument("--off", action="store_true", help="Run none in shadow any more.")
        what.add_argument(
            "--report",
            action="store_true",
            help="Tell how it compares; so does no argument at all.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        project = self.project(options["project"])
        try:
            if options["off"]:
                shadow_deployment.stop_shadow(project, by=None)
                self.stdout.write(
                    self.style.SUCCESS(f"No model of {project.slug} runs in shadow any more.")
                )
            elif options["number"] is not None:
                version = project.model_versions.filter(number=options["number"]).first()
                if version is None:
                    numbers = (str(each.number) for each in project.model_versions.all())
                    raise CommandError(
                        f"There is no version {options['number']} in {project.slug}. There are: "
                        f"{', '.join(numbers) or 'none'}"
                    )
                shadow_deployment.start_shadow(version, by=None)
                self.stdout.write(
                    self.style.SUCCESS(
                        f"Version {version.number} of {project.slug} runs in shadow now."
                    )
                )
            else:
                live = registry.live_version(project)
                current = shadow_deployment.shadow_version(project)
                self.stdout.write(f"Live: {_named(live)}. In shadow: {_named(current)}.")
                last = shadow_deployment.last_shadow_version(project)
                against = shadow_comparison.live_version_during(last) if last else None
                if last and against:
                    self._print_comparison(shadow_comparison.compare_shadow(last, against))
                else:
                    self.stdout.write("Nothing was compared yet.")
        except DomainError as error:
            raise CommandError(str(error)) from error

    def _print_comparison(self, comparison: ShadowComparison) -> None:
        self.stdout.write(
            f"Version {comparison.shadow.number} in shadow of version {comparison.live.number}:"
        )
        agreement, interval = comparison.agreement, comparison.agreement_between
        if agreement is not None and interval is not None:
            self.stdout.write(
                f"{comparison.compared} pictures compared, the same answer on {agreement:.1%}"
                f" (95 %: {interval[0]:.1%} to {interval[1]:.1%})"
            )
            self.stdout.write(
                f"Median time: live {comparison.live_ms:.1f} ms, shadow {comparison.shadow_ms:.1f} "
                "ms a picture"
            )
            headings = (
                "right by",
                "pictures",
                "live",
                "shadow",
                "both",
                "live alone",
                "shadow alone",
                "neither",
                "p",
            )
            rows = [
                _row("users' verdicts", comparison.by_verdicts),
                _row("reviewers' decisions", comparison.by_decisions),
                _row("both together", comparison.together),
            ]
            self.stdout.write(format_table(headings, rows))
        if comparison.learned_from:
            self.stdout.write(
                "Left out, because one of the two has learned from them: "
                f"{comparison.learned_from} pictures"
            )
        for reason, count in comparison.silent:
            self.stdout.write(self.style.WARNING(f"Did not answer {count} times: {reason}"))
        self.stdout.write(comparison.sentence)


def _named(version: ModelVersion | None) -> str:
    return f"version {version.number}" if version else "none"


def _row(name: str, counts: PairedOutcomes) -> list[str]:
    figures = (
        counts.count,
        counts.first_right,
        counts.second_right,
        counts.both,
        counts.first_alone,
        counts.second_alone,
        counts.neither,
    )
    return [
        name,
        *(str(figure) for figure in figures),
        f"{counts.p_value:.3f}" if counts.count else "-",
    ]
