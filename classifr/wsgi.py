"""The entry point for WSGI servers: `gunicorn classifr.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")
_django = get_wsgi_application()

from django.conf import settings  # noqa: E402 (once the applications are loaded)

from classifr.body_framing import Application, BodyFraming  # noqa: E402
from classifr.url_prefix import UrlPrefix  # noqa: E402

application: Application = BodyFraming(_django)
if settings.URL_PREFIX:
    application = UrlPrefix(application, settings.URL_PREFIX)
