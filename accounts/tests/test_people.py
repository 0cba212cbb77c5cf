"""What maintainers can do to users, and what they cannot."""

import pytest
from django.urls import reverse

from accounts import roles, user_admin
from accounts.models import ApiToken, User
from accounts.roles import Role
from accounts.tests.factories import PASSWORD, make_maintainer, make_reviewer, make_token, make_user
from common.errors import Conflict

pytestmark = pytest.mark.django_db


def test_a_maintainer_gives_another_role(client):
    alice = make_user("alice")
    client.force_login(make_maintainer())
    client.post(reverse("accounts:change_role", args=[alice.pk]), {"role": "reviewer"})
    assert roles.role_of(alice) == Role.REVIEWER
    assert User.objects.get(pk=alice.pk).has_perm(roles.REVIEW)


def test_a_new_role_takes_the_old_ones_rights_away():
    alice, maintainer = make_reviewer("alice"), make_maintainer()
    user_admin.change_role(alice, Role.USER, by=maintainer)
    assert not User.objects.get(pk=alice.pk).has_perm(roles.REVIEW)


@pytest.mark.parametrize("name", ["change_role", "deactivate", "reactivate"])
def test_a_reviewer_cannot_change_users(client, name):
    alice = make_user("alice")
    client.force_login(make_reviewer())
    assert (
        client.post(
            reverse(f"accounts:{name}", args=[alice.pk]), {"role": "maintainer"}
        ).status_code
        == 403
    )
    assert roles.role_of(alice) == Role.USER


def test_an_unknown_role_is_refused(client):
    alice = make_user("alice")
    client.force_login(make_maintainer())
    assert (
        client.post(reverse("accounts:change_role", args=[alice.pk]), {"role": "king"}).status_code
        == 400
    )


def test_the_last_maintainer_stays(client):
    maintainer = make_maintainer("last")
    client.force_login(maintainer)
    for name in ("change_role", "deactivate"):
        response = client.post(reverse(f"accounts:{name}", args=[maintainer.pk]), {"role": "user"})
        assert response.status_code == 409
        assert "last is the last maintainer" in response.content.decode()
    assert roles.role_of(maintainer) == Role.MAINTAINER


def test_one_of_two_maintainers_may_go_and_a_deactivated_one_does_not_count():
    first, second = make_maintainer(), make_maintainer()
    user_admin.deactivate(second, by=first)
    with pytest.raises(Conflict):
        user_admin.change_role(first, Role.USER, by=first)


def test_a_superuser_is_changed_by_superusers_only():
    chief = make_user("chief", is_superuser=True)
    with pytest.raises(Conflict, match="superuser"):
        user_admin.deactivate(chief, by=make_maintainer())
    user_admin.deactivate(chief, by=make_user("other", is_superuser=True))


def test_deactivating_ends_sessions_and_tokens_at_once(client):
    alice = make_user("alice")
    token = make_token(alice)
    client.force_login(alice)
    assert client.get(reverse("accounts:profile")).status_code == 200
    user_admin.deactivate(alice, by=make_maintainer())
    assert client.get(reverse("accounts:profile")).status_code == 302
    assert not ApiToken.objects.filter(user=alice).exists()
    assert token


def test_old_sessions_stay_ended_after_a_reactivation(client):
    alice, maintainer = make_user("alice"), make_maintainer()
    client.force_login(alice)
    user_admin.deactivate(alice, by=maintainer)
    user_admin.reactivate(alice, by=maintainer)
    assert client.get(reverse("accounts:profile")).status_code == 302
    client.post(reverse("account_login"), {"login": "alice", "password": PASSWORD})
    assert client.get(reverse("accounts:profile")).status_code == 200


def test_users_are_found_by_words_and_paged_by_key():
    for number in range(5):
        make_user(f"anna{number}", first_name="Anna")
    make_user("bert")
    first = user_admin.list_users(search="anna", size=3)
    assert [user.username for user in first.rows] == ["anna0", "anna1", "anna2"]
    second = user_admin.list_users(search="anna", after=first.next_key, size=3)
    assert [user.username for user in second.rows] == ["anna3", "anna4"]
    assert second.next_key is None


def test_the_users_page_asks_the_same_number_of_questions_for_more_users(
    client, django_assert_max_num_queries
):
    client.force_login(make_maintainer())
    for _ in range(20):
        make_user()
    with django_assert_max_num_queries(12):
        assert client.get(reverse("accounts:users"), {"search": "user"}).status_code == 200


def test_names_are_shown_as_text(client):
    make_user("eve", first_name="<script>alert(1)</script>")
    client.force_login(make_maintainer())
    assert "<script>alert" not in client.get(reverse("accounts:users")).content.decode()
