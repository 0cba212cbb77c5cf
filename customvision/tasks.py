"""What this app does in the background: the modules that define its tasks."""

from customvision.api import deletion, exports, image_deletion, tag_deletion  # noqa: F401
