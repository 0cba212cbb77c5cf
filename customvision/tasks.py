"""The modules that define this app's background tasks."""

from customvision.api import earlier_jobs, exports, image_deletion  # noqa: F401
from customvision.exported import model_import  # noqa: F401
