"""The modules that define this app's background tasks."""

from customvision.api import deletion, exports, image_deletion, tag_deletion  # noqa: F401
from customvision.exported import model_import  # noqa: F401
