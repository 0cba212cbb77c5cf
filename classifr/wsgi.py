"""The entry point for WSGI servers: `gunicorn classifr.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")
_django = get_wsgi_application()

from classifr.body_framing import BodyFraming  # noqa: E402 (once the applications are loaded)

application = BodyFraming(_django)
