"""What this app does in the background: the modules that define its tasks."""

from notifications import mails, retention, space  # noqa: F401
