"""Functions that a worker calls later, asked for in the transaction that needs them.

    @task("review.warm_up", title=_("Warm up"), keeps_language=True)
    def warm_up(progress: Progress, sample_key: int) -> None: ...

    warm_up.enqueue(sample_key=7)                        in the transaction that needs it
    warm_up.using(delay_seconds=60).enqueue(sample_key=7)

    @periodic(seconds=300)
    def forget_old_samples() -> int: ...

A task that tells how far it is takes `progress` first: the worker fills it, `enqueue` does not ask
for it. Tasks may be done twice, see `common.jobs`. An app's `tasks` module imports the modules that
define its tasks, so that a worker knows them all.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from django.apps import apps
from django.conf import settings
from django.utils import translation
from django.utils.functional import Promise
from django.utils.module_loading import module_has_submodule

from common import jobs
from common.models import Job, JobQuerySet
from common.progress import Progress

LANGUAGE = "language"  # the key in a job's payload

Arguments = ParamSpec("Arguments")  # those that `enqueue` asks for
Signature = ParamSpec("Signature")  # those of the function itself, `progress` included
PeriodicTask = Callable[[], object]
Periodic = TypeVar("Periodic", bound=PeriodicTask)

_titles: dict[str, str | Promise] = {}
_periodic_tasks: dict[str, tuple[float, PeriodicTask]] = {}


@dataclass(frozen=True)
class _Options:
    """How one call is to be done."""

    max_attempts: int
    key: str = ""
    delay_seconds: float = 0


@dataclass(frozen=True)
class Task(Generic[Arguments, Signature]):
    """A function that may be called at once, or enqueued."""

    kind: str
    queue: str
    function: Callable[Signature, None]
    stored_as: dict[str, str]
    keeps_language: bool
    options: _Options
    signature: inspect.Signature = field(init=False, repr=False)
    reports: bool = field(init=False)

    def __post_init__(self) -> None:
        # Once, when the module is imported: a wrong name in `stored_as` fails there.
        parameters = list(inspect.signature(self.function).parameters.values())
        reports = bool(parameters) and parameters[0].name == "progress"
        object.__setattr__(self, "reports", reports)
        object.__setattr__(self, "signature", inspect.Signature(parameters[reports:]))
        self._check_names(self.stored_as)

    def __call__(self, *args: Signature.args, **kwargs: Signature.kwargs) -> None:
        self.function(*args, **kwargs)

    def using(
        self, *, key: str = "", delay_seconds: float = 0, max_attempts: int | None = None
    ) -> "Task[Arguments, Signature]":
        """Return the task with options for one call; they cannot be taken for its arguments."""
        attempts = self.options.max_attempts if max_attempts is None else max_attempts
        return replace(self, options=_Options(attempts, key, delay_seconds))

    def enqueue(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Job:
        """Ask for the task; workers see it when the caller's transaction commits.

        Raises:
            TypeError: for arguments that the function does not take.
            jobs.AlreadyEnqueued: if a key is given and a job with it is waiting or running.
        """
        # Bound here and not only in the worker: a wrong call fails where it is written.
        arguments = self.signature.bind(*args, **kwargs).arguments
        payload = {self._stored(name): value for name, value in arguments.items()}
        if self.keeps_language:
            payload[LANGUAGE] = translation.get_language() or settings.LANGUAGE_CODE
        return jobs.insert(
            self.kind,
            payload,
            queue=self.queue,
            key=self.options.key,
            delay_seconds=self.options.delay_seconds,
            max_attempts=self.options.max_attempts,
        )

    def run(self, job: Job, progress: Progress) -> None:
        """Do what a job asks for, in the language that it keeps or else in the server's own."""
        call: Any = self.function
        with translation.override(job.payload.get(LANGUAGE) or settings.LANGUAGE_CODE):
            call(*([progress] if self.reports else []), **self.arguments(job))

    def arguments(self, job: Job) -> dict[str, Any]:
        """Return the arguments that a job was enqueued with, by their names."""
        payload = job.payload
        # Rows outlive releases: a key that no argument has any more is passed over.
        names = {name: self._stored(name) for name in self.signature.parameters}
        return {name: payload[stored] for name, stored in names.items() if stored in payload}

    def active_jobs(self, **arguments: Any) -> JobQuerySet:
        """Return the jobs of this task that wait or run, as far as they have these arguments."""
        self._check_names(arguments)
        wanted = {f"payload__{self._stored(name)}": value for name, value in arguments.items()}
        return Job.objects.active().filter(kind=self.kind, **wanted)

    def _stored(self, name: str) -> str:
        return self.stored_as.get(name, name)

    def _check_names(self, arguments: dict[str, Any]) -> None:
        if unknown := arguments.keys() - self.signature.parameters.keys():
            raise TypeError(f"{self.kind} has no argument {', '.join(sorted(unknown))}.")


class _TaskDecorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[Concatenate[Progress, Arguments], None]
    ) -> Task[Arguments, Concatenate[Progress, Arguments]]: ...

    @overload
    def __call__(self, function: Callable[Arguments, None]) -> Task[Arguments, Arguments]: ...


def task(
    kind: str,
    *,
    queue: str = "default",
    max_attempts: int = 10,
    stored_as: dict[str, str] | None = None,
    keeps_language: bool = False,
    title: str | Promise = "",
) -> _TaskDecorator:
    """Make a task of a function.

    Args:
        kind: its name in the rows of jobs, which outlives the name of the function.
        queue: the queue whose workers do it.
        max_attempts: how often it is tried.
        stored_as: the keys in the rows of those arguments that are named otherwise there.
        keeps_language: whether it speaks the language of who asks for it, because they read what
            it writes down; else it speaks the server's own.
        title: what it does, in words for a page.
    """

    def register(function: Callable[..., None]) -> Any:  # which Task, `_TaskDecorator` says
        made: Task[..., ...] = Task(
            kind, queue, function, stored_as or {}, keeps_language, _Options(max_attempts)
        )
        jobs.register_runner(kind, made.run)
        _titles[kind] = title or kind
        return made

    return register


def title_of(kind: str) -> str | Promise:
    """Return what the jobs of a kind do, in words; the kind itself where its task is gone."""
    return _titles.get(kind, kind)


def periodic(seconds: float) -> Callable[[Periodic], Periodic]:
    """Have each worker call a function about this often; several may do so at once."""

    def register(function: Periodic) -> Periodic:
        _periodic_tasks[f"{function.__module__}.{function.__qualname__}"] = (seconds, function)
        return function

    return register


def periodic_tasks() -> Iterator[tuple[str, float, PeriodicTask]]:
    for name, (seconds, function) in _periodic_tasks.items():
        yield name, seconds, function


def autodiscover() -> None:
    """Import every app's `tasks` module, which imports the modules that define its tasks."""
    for config in apps.get_app_configs():
        if config.module and module_has_submodule(config.module, "tasks"):
            import_module(f"{config.name}.tasks")
