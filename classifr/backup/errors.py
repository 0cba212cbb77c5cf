"""What goes wrong with an archive, as sentences for whoever runs the command."""

from common.errors import DomainError


class BackupError(DomainError):
    """The archive cannot be made, read or brought back; nothing of the site was changed."""

    code = "backup"
