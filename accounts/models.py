"""Who asks: users, their API tokens, and invitations for those who are not users yet."""

import hashlib
import secrets
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken

from common.names import NameKeyField, UniqueNames


class User(UniqueNames, AbstractUser):  # type: ignore[django-manager-missing]
    """A user. What they may do comes from the role groups, see `accounts.roles`."""

    username_key = NameKeyField(of="username")
    email_key = NameKeyField(of="email")
    # "" for what the browser asks for
    language = models.CharField(_("language"), max_length=10, blank=True)
    session_generation = models.PositiveIntegerField(default=0, editable=False)
    # While a request is about one project whose members count: what this user may do there
    rights_here: set[str] | None = None

    class Meta(AbstractUser.Meta):
        permissions: ClassVar = [("invite_user", "Can invite people and give them roles")]
        # Log-in ignores case; an address is optional
        constraints: ClassVar = [
            models.UniqueConstraint(Lower("username"), name="username_is_one_users"),
            models.UniqueConstraint(
                Lower("email"), name="email_is_one_users", condition=~models.Q(email="")
            ),
            # `Lower` knows ASCII alone on SQLite
            models.UniqueConstraint(fields=["username_key"], name="user_is_told_by_the_name"),
            models.UniqueConstraint(
                fields=["email_key"],
                name="user_is_told_by_the_address",
                condition=~models.Q(email_key=""),
            ),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save. A new password revokes all API tokens, as it ends all other sessions."""
        # Here, since a password is set in several places: pages, the admin, commands
        has_new_password = getattr(self, "_password", None) is not None
        super().save(*args, **kwargs)
        if has_new_password:
            ApiToken.objects.filter(user=self).delete()

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Tie sessions to the generation as well: a reactivated user does not get old ones back."""
        value = f"{self.password}:{self.session_generation}"
        return salted_hmac(
            "accounts.User.session", value, secret=secret, algorithm="sha256"
        ).hexdigest()


class ApiToken(AbstractAuthToken):
    """What a program sends instead of a password. Only its digest is stored."""

    name = models.CharField(_("name"), max_length=100)
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering: ClassVar = ["-created"]

    def __str__(self) -> str:
        return self.name


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self) -> "InvitationQuerySet":
        return self.filter(accepted_at=None, expires_at__gt=timezone.now())

    def with_token(self, token: str) -> "InvitationQuerySet":
        return self.filter(token_digest=token_digest(token))


def token_digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def generate_token() -> str:
    return secrets.token_urlsafe(32)


class Invitation(models.Model):
    """Opens sign-up once, for one address. Only the token's digest is stored."""

    email = models.EmailField(_("e-mail address"))
    role = models.CharField(_("role"), max_length=20)
    token_digest = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="invitations"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, editable=False)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                Lower("email"),
                name="one_open_invitation_per_address",
                condition=models.Q(accepted_at=None),
            )
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def has_expired(self) -> bool:
        return self.expires_at <= timezone.now()
