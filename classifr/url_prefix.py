"""WSGI: the site under a path of its host, whether or not a proxy takes that path off."""

from collections.abc import Iterable

from classifr.body_framing import Application, Environ, StartResponse


class UrlPrefix:
    """Takes the prefix off what it is still on.

    A reverse proxy with a rewrite rule does so itself; an ingress without one does not, nor does a
    browser that comes without any proxy. Probes ask without it.
    """

    def __init__(self, application: Application, prefix: str) -> None:
        self.application = application
        self.prefix = prefix

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == self.prefix or path.startswith(f"{self.prefix}/"):
            environ["PATH_INFO"] = path.removeprefix(self.prefix) or "/"
        return self.application(environ, start_response)
