"""Where each user wants which kind of notification."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from django.db import transaction

from accounts import roles
from accounts.models import User
from notifications.models import Kind, NotificationPreference


class Channels(NamedTuple):
    """Where a notification goes."""

    on_page: bool
    by_mail: bool

    def __bool__(self) -> bool:
        return self.on_page or self.by_mail


# What nobody waits for and somebody has to act on is mailed; a NOK may be one of hundreds
DEFAULTS: Mapping[str, Channels] = {
    Kind.RUN_DONE: Channels(on_page=True, by_mail=True),
    Kind.RUN_FAILED: Channels(on_page=True, by_mail=True),
    Kind.GATE_REFUSED: Channels(on_page=True, by_mail=True),
    Kind.DRIFT: Channels(on_page=True, by_mail=True),
    Kind.SPACE: Channels(on_page=True, by_mail=True),
    Kind.NOK_ANSWERED: Channels(on_page=True, by_mail=False),
}
FOR_MAINTAINERS = (Kind.RUN_DONE, Kind.RUN_FAILED, Kind.GATE_REFUSED, Kind.DRIFT)


def offered_kinds(user: User) -> list[Kind]:
    """Return the kinds that somebody in this role is told of."""
    trains = user.has_perm(roles.TRAIN)
    return [kind for kind in Kind if trains or kind not in FOR_MAINTAINERS]


def preferences_of(user: User) -> dict[str, Channels]:
    """Return where a user wants each kind."""
    return {**DEFAULTS, **_chosen([user.pk], list(Kind)).get(user.pk, {})}


def channels_for(users: Iterable[int], kind: Kind) -> dict[int, Channels]:
    """Return where each of these users wants a kind, by the user's key."""
    keys = list(users)
    chosen = _chosen(keys, [kind])
    return {key: chosen.get(key, {}).get(kind, DEFAULTS[kind]) for key in keys}


@transaction.atomic
def save_preferences(user: User, wanted: Mapping[Kind, Channels]) -> None:
    """Write down where a user wants these kinds from now on."""
    for kind, channels in wanted.items():
        NotificationPreference.objects.update_or_create(
            user=user, kind=kind, defaults=channels._asdict()
        )


def _chosen(users: list[int], kinds: list[Kind]) -> dict[int, dict[str, Channels]]:
    found: dict[int, dict[str, Channels]] = {}
    rows = NotificationPreference.objects.filter(user__in=users, kind__in=kinds)
    for row in rows:
        found.setdefault(row.user_id, {})[row.kind] = Channels(row.on_page, row.by_mail)
    return found
