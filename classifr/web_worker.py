"""A web process: gunicorn's threads, with an end that harms no file."""

from typing import Any

from gunicorn.workers.gthread import PollableMethodQueue, ThreadWorker

from classifr.common import processes


class _PipeForLife(PollableMethodQueue):
    """Wakes the loop of a process by a byte in a pipe, which stays open until the process is gone.

    A thread that ends its request writes that byte, however late. Were the pipe closed at the end of
    the loop, as gunicorn does it, its number could be the database by then, or a picture.
    """

    def close(self) -> None:
        pass


class WebWorker(ThreadWorker):
    """Ends within the graceful time-out, whatever its threads are at, and closes nothing under their hands."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.method_queue = _PipeForLife()

    def run(self) -> None:
        try:
            super().run()
        except SystemExit as told:  # by SIGQUIT, SIGINT or SIGABRT
            processes.leave_now(told.code if isinstance(told.code, int) else 1)
        except Exception:
            self.log.exception("The loop of this web process failed; leaving")
            processes.leave_now(1)
        if self.nr_conns:
            # Python would wait for the threads, for as long as they like, and then for those that wait for a thread
            self.log.warning("%s requests outlasted their grace; leaving without them", self.nr_conns)
            processes.leave_now()
