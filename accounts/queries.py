"""The queries of every request with an API token, in SQL for speed (see `common.raw_sql`)."""

from accounts.models import ApiToken, User
from common.raw_sql import columns, fetch_objects, fetch_rows

# ruff: noqa: S608 (what is put into the statements are names of our own columns)

_TOKEN = f"""
    SELECT {columns(ApiToken, "token")}, {columns(User, "owner")}
    FROM accounts_apitoken AS token
    JOIN accounts_user AS owner ON owner.id = token.user_id
    WHERE token.digest = %s AND owner.is_active
"""
# A user's own permissions and those of their groups
_PERMISSIONS = """
    SELECT kind.app_label, permission.codename
    FROM auth_permission AS permission
    JOIN django_content_type AS kind ON kind.id = permission.content_type_id
    JOIN accounts_user_user_permissions AS own ON own.permission_id = permission.id
    WHERE own.user_id = %s
    UNION
    SELECT kind.app_label, permission.codename
    FROM auth_permission AS permission
    JOIN django_content_type AS kind ON kind.id = permission.content_type_id
    JOIN auth_group_permissions AS granted ON granted.permission_id = permission.id
    JOIN accounts_user_groups AS membership ON membership.group_id = granted.group_id
    WHERE membership.user_id = %s
"""


def find_token(digest: str) -> ApiToken | None:
    """Return the token of this digest with its owner, unless the owner is deactivated."""
    for token, owner in fetch_objects([ApiToken, User], _TOKEN, [digest]):
        token.user = owner
        return token
    return None


def permission_names(user: User) -> set[str]:
    """Return all permissions of a user, as `app.codename`."""
    rows = fetch_rows(_PERMISSIONS, [user.pk, user.pk])
    return {f"{app}.{codename}" for app, codename in rows}


def site_permissions(user: User) -> set[str]:
    """Return what a user may do by their role on the site, asked for once per request."""
    if not hasattr(user, "_perm_cache"):
        user._perm_cache = permission_names(user)  # type: ignore[attr-defined]
    return user._perm_cache  # type: ignore[attr-defined]
