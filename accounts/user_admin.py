"""Managing users: finding them, changing their role, deactivating and reactivating them."""

from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils.translation import gettext as _

from accounts import roles
from accounts.models import ApiToken, User
from accounts.roles import Role
from common.errors import Conflict
from common.names import comparison_key
from common.pagination import KeysetPage, keyset_page

PAGE_SIZE = 50


def list_users(*, search: str = "", after: str = "", size: int = PAGE_SIZE) -> KeysetPage[User]:
    """Return a page of the users whose name or address contains all words, by user name."""
    users = User.objects.annotate(key=Lower("username")).prefetch_related("groups")
    # PostgreSQL cannot even look for a NUL
    search, after = search.replace("\0", ""), after.replace("\0", "")
    for word in search.split()[:5]:  # each is four conditions that no index helps
        users = users.filter(
            Q(username__icontains=word)
            | Q(email__icontains=word)
            | Q(first_name__icontains=word)
            | Q(last_name__icontains=word)
        )
    return keyset_page(users, after=after.lower() or None, size=size, key="key")


@transaction.atomic
def create_user(username: str, role: Role, *, email: str = "", password: str) -> User:
    """Create a user whose address, if given, counts as confirmed.

    Raises:
        Conflict: if the name or the address is another user's.
        ValidationError: if the name, the address or the password is not valid.
    """
    taken = Q(username_key=comparison_key(username))
    if email:
        taken |= Q(email_key=comparison_key(email))
    if User.objects.filter(taken).exists():
        raise Conflict(_("There is a user with this name or address already."))
    user = User(username=username, email=email.lower())
    user.set_password(password)
    user.full_clean()
    validate_password(password, user)
    user.save()
    if email:
        EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    roles.assign_role(user, role)
    return user


@transaction.atomic
def change_role(user: User, role: Role, *, by: User) -> None:
    """Give the user another role.

    Raises:
        Conflict: if nobody would be left who may invite people, or if somebody who is no superuser
            changes one.
    """
    _check_may_change(user, by=by)
    if roles.INVITE not in roles.permissions_of(role):
        _check_somebody_is_left(user)
    roles.assign_role(user, role)


@transaction.atomic
def deactivate(user: User, *, by: User) -> None:
    """Lock the user out at once: sessions end and API tokens are revoked, for good.

    Raises:
        Conflict: as for `change_role`.
    """
    _check_may_change(user, by=by)
    _check_somebody_is_left(user)
    # The generation ends sessions for good, see `User._get_session_auth_hash`
    User.objects.filter(pk=user.pk).update(
        is_active=False, session_generation=F("session_generation") + 1
    )
    ApiToken.objects.filter(user=user).delete()


def reactivate(user: User, *, by: User) -> None:
    """Let the user log in again. Old sessions and tokens stay ended."""
    _check_may_change(user, by=by)
    User.objects.filter(pk=user.pk).update(is_active=True)


def _check_may_change(user: User, *, by: User) -> None:
    if user.is_superuser and not by.is_superuser:
        raise Conflict(
            _("%(user)s is a superuser. Only a superuser can change that.")
            % {"user": user.get_username()}
        )


def _check_somebody_is_left(leaving: User) -> None:
    """Refuse what would leave the site without anybody who may invite people."""
    # A lock: of the last two maintainers who deactivate each other at once, the second is refused
    Group.objects.select_for_update().get(name=Role.MAINTAINER)
    codename = roles.INVITE.split(".")[1]
    able = User.objects.filter(is_active=True).filter(
        Q(is_superuser=True) | Q(groups__permissions__codename=codename)
    )
    able_keys = set(able.values_list("pk", flat=True))
    if leaving.pk in able_keys and len(able_keys) == 1:
        raise Conflict(
            _("%(user)s is the last maintainer. Make somebody else a maintainer first.")
            % {"user": leaving.get_username()}
        )
