"""Notifications: told once, where somebody wishes, and to nobody else."""

from datetime import timedelta

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from common import jobs
from common.models import Job
from notifications import mails, retention, space
from notifications.models import Kind, Notification
from notifications.notifying import notify
from notifications.preferences import Channels, save_preferences
from predictions.models import DailyUploads
from predictions.tests.factories import make_project, make_user

pytestmark = pytest.mark.django_db


def tell(user, key="run:1", text="run_done", **fields) -> Notification | None:
    fields = {"kind": Kind.RUN_DONE, "url": "/help/", "params": {"number": 1}} | fields
    notify([user], fields.pop("kind"), text, key=key, **fields)
    return Notification.objects.filter(user=user, key=key).first()


def send_mails() -> list:
    mails.request_mails()
    jobs.run_due_jobs()
    return mail.outbox


class TestMails:
    def test_what_is_new_is_one_mail_and_is_sent_once(self):
        anna = make_user("maintainer")
        tell(anna, project=make_project("Dishes"))
        tell(anna, "run:2", "run_failed", params={"number": 2, "error": "no\npictures"})
        (sent,) = send_mails()
        assert sent.to == [anna.email]
        assert sent.subject == "[Classifr] 2 new notifications"
        assert "Dishes: Run 1 has ended." in sent.body and "Run 2 has failed: no" in sent.body
        assert len(send_mails()) == 1

    def test_it_is_in_the_language_of_its_reader(self):
        tell(make_user("maintainer", language="fr"))
        (sent,) = send_mails()
        assert "La session 1 est terminée." in sent.body

    def test_who_opted_out_gets_no_mail_but_sees_it_on_the_page(self, client):
        anna = make_user("maintainer")
        save_preferences(anna, {Kind.RUN_DONE: Channels(on_page=True, by_mail=False)})
        tell(anna)
        assert send_mails() == []
        client.force_login(anna)
        assert "Run 1 has ended." in client.get("/notifications/").content.decode()

    def test_who_wants_neither_is_not_told(self):
        anna = make_user("maintainer")
        save_preferences(anna, {Kind.RUN_DONE: Channels(on_page=False, by_mail=False)})
        assert tell(anna) is None

    def test_nobody_inactive_or_without_an_address_is_mailed(self):
        tell(make_user("maintainer", is_active=False))
        tell(make_user("maintainer", email=""))
        assert send_mails() == []

    def test_a_mail_server_that_is_away_is_tried_again(self, monkeypatch):
        tell(make_user("maintainer"))

        def refuse(_mail) -> None:
            raise OSError("connection refused")

        with monkeypatch.context() as away:
            away.setattr("django.core.mail.EmailMessage.send", refuse)
            send_mails()
        assert Job.objects.get().status == Job.Status.WAITING
        Job.objects.update(due_at=timezone.now())
        assert len(send_mails()) == 1


class TestPages:
    def test_the_bell_counts_what_is_unread_until_it_is_opened(self, client):
        anna = make_user()
        told = tell(anna)
        client.force_login(anna)
        assert "1 unread" in client.get("/help/").content.decode()
        answer = client.post(reverse("notifications:open", args=[told.pk]))
        assert answer["Location"] == "/help/"
        assert "unread" not in client.get("/help/").content.decode()

    def test_that_of_somebody_else_is_not_found(self, client):
        told = tell(make_user())
        client.force_login(make_user())
        assert client.post(reverse("notifications:open", args=[told.pk])).status_code == 404
        client.post(reverse("notifications:read_all"))
        told.refresh_from_db()
        assert told.read_at is None
        assert "Run 1" not in client.get("/notifications/").content.decode()

    def test_that_of_a_project_that_was_removed_is_gone(self, client):
        anna, project = make_user(), make_project()
        tell(anna, project=project)
        project.removed_at = timezone.now()
        project.save()
        client.force_login(anna)
        assert "Run 1" not in client.get("/notifications/").content.decode()
        assert send_mails() == []

    def test_a_user_chooses_and_is_offered_what_concerns_them(self, client):
        anna = make_user()
        client.force_login(anna)
        page = client.get("/account/notifications/").content.decode()
        assert "mail-nok_answered" in page and "mail-drift" not in page
        client.post("/account/notifications/", {"mail-nok_answered": "on", "mail-drift": "on"})
        chosen = anna.notification_preferences.get(kind=Kind.NOK_ANSWERED)
        assert (chosen.on_page, chosen.by_mail) == (False, True)
        assert not anna.notification_preferences.filter(kind=Kind.DRIFT).exists()

    def test_the_next_page_follows_by_key(self, client, monkeypatch):
        monkeypatch.setattr("notifications.views.PAGE_SIZE", 1)
        anna = make_user()
        for number in (1, 2):
            tell(anna, f"run:{number}", params={"number": number})
        client.force_login(anna)
        first = client.get("/notifications/")
        assert "Run 2" in first.content.decode() and "Run 1" not in first.content.decode()
        second = client.get(f"/notifications/?before={first.context['page'].next_key}")
        assert "Run 1" in second.content.decode()
        assert client.get("/notifications/?before=x").status_code == 200


class TestSpace:
    def test_a_full_disk_is_told_to_maintainers_once(self, monkeypatch):
        anna, _ben = make_user("maintainer"), make_user("reviewer")
        usage = type("usage", (), {"used": 95, "total": 100})
        monkeypatch.setattr(space.shutil, "disk_usage", lambda _path: usage)
        space.tell_of_a_full_disk()
        space.tell_of_a_full_disk()
        assert Notification.objects.get().user == anna

    def test_one_with_room_is_not(self, monkeypatch):
        make_user("maintainer")
        usage = type("usage", (), {"used": 50, "total": 100})
        monkeypatch.setattr(space.shutil, "disk_usage", lambda _path: usage)
        assert not space.tell_of_a_full_disk()
        assert not Notification.objects.exists()

    def test_a_quota_near_its_end_is_told_to_its_user(self, settings):
        settings.UPLOAD_QUOTA = 100
        near, far = make_user(), make_user()
        today = timezone.now().date()
        for user, pictures in ((near, 80), (far, 79)):
            DailyUploads.objects.create(user=user, day=today, pictures=pictures)
        space.tell_of_quotas()
        space.tell_of_quotas()
        assert Notification.objects.get().user == near


def test_old_ones_go():
    told, old = tell(make_user()), tell(make_user())
    long_ago = timezone.now() - timedelta(days=retention.KEEP_DAYS + 1)
    Notification.objects.filter(pk=old.pk).update(created_at=long_ago)
    assert retention.delete_old_notifications() == 1
    assert Notification.objects.get() == told
