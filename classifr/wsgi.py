"""The entry point for WSGI servers: `gunicorn classifr.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")
application = get_wsgi_application()
