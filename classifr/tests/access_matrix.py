"""Who may do what: every address and API operation, and the answer that each kind of visitor gets.

A row is (method, who gets which answer). The answers stand in the order of `VISITORS`; `LOGIN` is a
redirect to the log-in page. `test_access` fails for an address or an operation without a row: a new
one is decided here, on purpose.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from classifr.tests.access_world import World

VISITORS = ("anonymous", "user", "other", "reviewer", "maintainer")
LOGIN = "log in"
Answers = tuple[int | str, int | str, int | str, int | str, int | str]

# The objects of the world belong to "user"; "other" is a user too, and must not find them.
ANYBODY: Answers = (200, 200, 200, 200, 200)
MEMBERS: Answers = (LOGIN, 200, 200, 200, 200)
OWNER: Answers = (LOGIN, 200, 404, 404, 404)
REVIEWERS: Answers = (LOGIN, 403, 403, 200, 200)
MAINTAINERS: Answers = (LOGIN, 403, 403, 403, 200)
NOT_FOUND: Answers = (404, 404, 404, 404, 404)
KEY_ALONE: Answers = (401, 401, 401, 401, 401)


def done(answers: Answers, status: int = 302) -> Answers:
    """The same visitors may, and are sent on afterwards."""
    return tuple(status if answer == 200 else answer for answer in answers)


def api(answers: Answers) -> Answers:
    """The same visitors may; a program is not sent to a log-in page."""
    return tuple(401 if answer == LOGIN else answer for answer in answers)


@dataclass(frozen=True)
class Row:
    method: str
    answers: Answers
    kwargs: Callable[[World], dict[str, Any]] = lambda world: {}
    data: Callable[[World], dict[str, Any]] = lambda world: {}
    why: str = ""
    is_json: bool = False


def get(
    answers: Answers, kwargs: Callable[[World], dict[str, Any]] = lambda world: {}, why: str = ""
) -> Row:
    return Row("GET", answers, kwargs, why=why)


def post(
    answers: Answers,
    kwargs: Callable[[World], dict[str, Any]] = lambda world: {},
    data: Callable[[World], dict[str, Any]] = lambda world: {},
    why: str = "",
    is_json: bool = False,
) -> Row:
    return Row("POST", answers, kwargs, data, why, is_json)


def slug(world: World) -> dict[str, Any]:
    return {"slug": world.project.slug}


def prediction(world: World) -> dict[str, Any]:
    return {"uuid": world.prediction.uuid}


def gallery_sample(world: World) -> dict[str, Any]:
    return slug(world) | sample(world)


def gallery_act(world: World) -> dict[str, Any]:
    return slug(world) | {"batch": uuid4()}


def sample(world: World) -> dict[str, Any]:
    return {"uuid": world.prediction.sample.uuid}


def batch(world: World) -> dict[str, Any]:
    return {"uuid": world.batch.uuid}


def run(world: World) -> dict[str, Any]:
    return {"pk": world.run.pk}


def imported(world: World) -> dict[str, Any]:
    return {"pk": world.imported.pk}


def sent(world: World) -> dict[str, Any]:
    return {"slug": world.project.slug, "pk": world.sent.pk}


def other_user(world: World) -> dict[str, Any]:
    return {"pk": world.other.pk}


def invitation(world: World) -> dict[str, Any]:
    return {"pk": world.invitation.pk}


def custom_vision(world: World) -> dict[str, Any]:
    return {"version": "3.3", "area": "training", "path": f"projects/{world.project.uuid}/tags"}


def member(world: World) -> dict[str, Any]:
    return {"slug": world.project.slug, "pk": world.member.pk}


def token(world: World) -> dict[str, Any]:
    return {"token_key": world.token.token_key}


ROWS: dict[str, list[Row]] = {
    # The roof
    "home": [get(MEMBERS)],
    "help": [get(MEMBERS)],
    "overview": [get((LOGIN, 302, 302, 200, 200), slug, why="users go on to classify")],
    "samples": [get(REVIEWERS, slug)],
    "sample_count": [get(REVIEWERS, slug)],
    "sample_view_counts": [get(REVIEWERS, slug)],
    "samples_act": [post(done(REVIEWERS), slug, lambda world: {"ruling": "discard"})],
    "act_progress": [
        get((LOGIN, 403, 403, 404, 404), gallery_act, why="there is no such work of theirs")
    ],
    "act_undo": [post(done(REVIEWERS), gallery_act)],
    "gallery_sample": [
        get(done(REVIEWERS), gallery_sample, why="as a page of its own it is the review's")
    ],
    "project_card": [get(REVIEWERS, slug)],
    "demo_drawing": [get((LOGIN, 404, 404, 404, 404), sample, why="of samples of the demo alone")],
    "sample_heat": [
        get((LOGIN, 403, 403, 409, 409), gallery_sample, why="the dummy model cannot tell")
    ],
    "theme": [
        post(done(ANYBODY), data=lambda world: {"theme": "dark"}, why="sets a cookie of one's own")
    ],
    "background": [get(MAINTAINERS)],
    "background_again": [post(done(MAINTAINERS), lambda world: {"pk": world.failed_job.pk})],
    "healthz": [get(ANYBODY, why="a probe knows no password; the answer names no detail")],
    "metrics": [get((404,) * 5, why="not there without METRICS_TOKEN or METRICS_NETWORKS")],
    "readyz": [get(ANYBODY, why="the same")],
    "set_language": [
        get(done(ANYBODY), why="changes nothing"),
        post(done(ANYBODY), data=lambda world: {"language": "fr"}),
    ],
    # A new project
    "new_project:name": [
        get(MAINTAINERS),
        post(done(MAINTAINERS), data=lambda world: {"name": "Cars"}),
    ],
    "new_project:pictures": [
        get(MAINTAINERS, slug),
        post(
            done(MAINTAINERS),
            slug,
            lambda world: {"import": world.sent.pk, "discard": "1"},
        ),
    ],
    "new_project:train": [
        get(done(MAINTAINERS), slug, why="a model is live: on to try it"),
        post(done(MAINTAINERS, 409), slug, why="a run is under way"),
    ],
    "new_project:try": [get(MAINTAINERS, slug)],
    # Accounts
    "notifications:list": [get(MEMBERS)],
    "notifications:read_all": [post(done(MEMBERS))],
    "notifications:choose": [get(MEMBERS), post(done(MEMBERS))],
    "notifications:open": [
        post(done(OWNER), lambda world: {"pk": world.notification.pk}, why="whoever it was sent to")
    ],
    "accounts:profile": [get(MEMBERS), post(done(MEMBERS), data=lambda world: {"language": ""})],
    "accounts:create_token": [
        post(
            done(MEMBERS),
            data=lambda world: {"name": "script"},
            why="on to the question for the password",
        )
    ],
    "accounts:revoke_token": [post(done(OWNER), token)],
    "accounts:invitation": [
        get((302, 409, 409, 409, 409), lambda world: {"token": world.invitation_token}),
        get(NOT_FOUND, lambda world: {"token": "wrong"}),
    ],
    "accounts:users": [get(MAINTAINERS)],
    "accounts:change_role": [
        post(done(MAINTAINERS), other_user, lambda world: {"role": "reviewer"})
    ],
    "accounts:deactivate": [post(done(MAINTAINERS), other_user)],
    "accounts:reactivate": [post(done(MAINTAINERS), other_user)],
    "accounts:invite": [
        post(MAINTAINERS, data=lambda world: {"email": "x@example.com", "role": "user"})
    ],
    "accounts:resend_invitation": [post(MAINTAINERS, invitation)],
    "accounts:revoke_invitation": [post(done(MAINTAINERS), invitation)],
    # allauth's pages about oneself
    "account_login": [get((200, 302, 302, 302, 302)), post((200, 302, 302, 302, 302))],
    "account_logout": [get((302, 200, 200, 200, 200)), post(done(ANYBODY))],
    "account_inactive": [get(ANYBODY)],
    "account_signup": [
        get((200, 302, 302, 302, 302)),
        post((200, 302, 302, 302, 302), why="closed: it says so"),
    ],
    "account_reauthenticate": [get(MEMBERS), post(MEMBERS)],
    "account_email": [get(MEMBERS), post(done(MEMBERS))],
    "account_email_verification_sent": [get(ANYBODY)],
    "account_change_password": [get(MEMBERS), post(MEMBERS)],
    "account_set_password": [get(done(MEMBERS)), post(done(MEMBERS))],
    "account_reset_password": [get(ANYBODY), post(ANYBODY)],
    "account_confirm_login_code": [get(done(ANYBODY)), post(done(ANYBODY))],
    "account_confirm_email": [
        get(ANYBODY, lambda world: {"key": "wrong"}),
        post(NOT_FOUND, lambda world: {"key": "x"}),
    ],
    "account_reset_password_from_key_done": [get(ANYBODY)],
    "account_reset_password_from_key": [
        get(ANYBODY, lambda world: {"uidb36": "1", "key": "wrong"})
    ],
    "account_reset_password_done": [get(ANYBODY)],
    "mfa_index": [get(MEMBERS)],
    "mfa_authenticate": [get(done(ANYBODY)), post(done(ANYBODY))],
    "mfa_reauthenticate": [get(done(MEMBERS)), post(done(MEMBERS))],
    "socialaccount_login_cancelled": [get(ANYBODY)],
    "socialaccount_login_error": [get((401, 401, 401, 401, 401))],
    "socialaccount_signup": [get(done(ANYBODY)), post(done(ANYBODY))],
    "socialaccount_connections": [get(MEMBERS), post(MEMBERS)],
    "openid_connect_login": [
        get(NOT_FOUND, lambda world: {"provider_id": "none"}),
        post(NOT_FOUND, lambda world: {"provider_id": "none"}),
    ],
    "openid_connect_callback": [get(NOT_FOUND, lambda world: {"provider_id": "none"})],
    # Predictions
    "predictions:upload": [
        get(MEMBERS, slug),
        post(done(MEMBERS), slug, lambda world: {"file": world.upload()}),
    ],
    "predictions:history": [get(MEMBERS)],
    "predictions:detail": [get(OWNER, prediction)],
    "predictions:feedback": [post(done(OWNER), prediction, lambda world: {"verdict": "UNSURE"})],
    "predictions:explanation": [
        get(done(OWNER, 409), prediction, why="the model of the tests cannot explain")
    ],
    "predictions:heat": [get(done(OWNER, 409), prediction, why="the same")],
    "predictions:batch": [get(OWNER, batch)],
    "predictions:start_batch": [post((LOGIN, 201, 201, 201, 201), slug)],
    "predictions:add_file": [
        post(
            (LOGIN, 201, 404, 404, 404),
            batch,
            lambda world: {"file": world.upload(), "key": "first"},
        )
    ],
    "predictions:verdicts": [post(done(OWNER), batch)],
    "predictions:batch_csv": [get(OWNER, batch)],
    "predictions:go_on": [post(done(OWNER), batch)],
    "predictions:picture": [get((LOGIN, 200, 404, 200, 200), sample, why="reviewers rule on it")],
    "predictions:thumbnail": [get((LOGIN, 200, 404, 200, 200), sample, why="the same")],
    # Review
    "review:queue": [get(REVIEWERS)],
    "review:waiting": [get(REVIEWERS, slug)],
    "review:history": [get(REVIEWERS)],
    "review:undo": [post(done(REVIEWERS))],
    "review:unskip": [post(done(REVIEWERS))],
    "review:sample": [get(REVIEWERS, sample)],
    "review:decide": [post(done(REVIEWERS), sample, lambda world: {"ruling": "discard"})],
    "review:heat": [get((LOGIN, 403, 403, 409, 409), sample, why="the dummy explains nothing")],
    "review:alike": [get(REVIEWERS)],
    "review:decide_group": [post(done(REVIEWERS))],
    "review:undo_group": [post(done(REVIEWERS))],
    "review:more": [post(REVIEWERS)],
    "review:renew": [post(REVIEWERS)],
    "review:leave": [post(done(REVIEWERS, 204))],
    # Training
    "training:overview": [get(MAINTAINERS)],
    "training:project": [
        get(MAINTAINERS, slug),
        post(done(MAINTAINERS, 400), slug, why="no seed: refused by the form"),
    ],
    "training:run": [get(MAINTAINERS, run)],
    "training:run_progress": [get(MAINTAINERS, run)],
    "training:matrix": [get(done(MAINTAINERS, 404), run, why="the run has made no model")],
    "training:cancel": [post(done(MAINTAINERS), run)],
    "training:repeat": [post(done(MAINTAINERS, 409), run, why="the run has made no model")],
    "training:use_threshold": [
        post(done(MAINTAINERS, 400), run, why="the run has proposed nothing")
    ],
    "training:dataset": [get(MAINTAINERS, lambda world: {"pk": world.run.dataset.pk})],
    "training:start_sweep": [
        get(MAINTAINERS, slug),
        post(done(MAINTAINERS, 400), slug, why="no backbone: refused by the form"),
    ],
    "training:sweep": [get(MAINTAINERS, lambda world: {"pk": world.sweep.pk})],
    "training:cancel_sweep": [
        post(done(MAINTAINERS, 409), lambda world: {"pk": world.sweep.pk}, why="it has no run left")
    ],
    "training:promote_by_gate": [
        post(done(MAINTAINERS, 409), run, why="the run has made no model")
    ],
    "training:difference": [get(MAINTAINERS, slug)],
    "training:compare": [get(done(MAINTAINERS), slug, why="no two runs are chosen")],
    "training:overruled": [get(MAINTAINERS, lambda world: {"pk": world.run.dataset.pk})],
    "training:origin": [
        get((LOGIN, 200, 404, 200, 200), prediction, why="reviewers see what answers come from")
    ],
    "training:sample_uses": [get(MAINTAINERS, sample)],
    "training:misled_answers": [get(MAINTAINERS, sample)],
    "training:promote": [
        get(MAINTAINERS, lambda world: {"pk": world.version.pk}),
        post(
            done(MAINTAINERS, 400),
            lambda world: {"pk": world.version.pk},
            why="no reason: refused by the form",
        ),
    ],
    "training:pictures": [
        get(MAINTAINERS, lambda world: {"pk": world.category.pk}),
        post(
            done(MAINTAINERS, 400),
            lambda world: {"pk": world.category.pk},
            why="no picture: refused by the form",
        ),
    ],
    "training:rename": [
        post(
            done(MAINTAINERS),
            lambda world: {"pk": world.category.pk},
            lambda world: {"name": "another name"},
        )
    ],
    "training:models": [get(MAINTAINERS, slug)],
    "training:downloads": [
        get(MAINTAINERS, lambda world: {"pk": world.version.pk}),
        post(
            done(MAINTAINERS, 404),
            lambda world: {"pk": world.version.pk},
            why="no format is named",
        ),
    ],
    "training:download": [
        get(
            done(MAINTAINERS, 404),
            lambda world: {"pk": world.version.pk, "alias": "onnx"},
            why="the dummy model has no file",
        )
    ],
    "training:export": [
        get(MAINTAINERS, lambda world: {"pk": world.run.dataset.pk, "alias": "csv"})
    ],
    "training:labels": [get(REVIEWERS, slug)],
    "training:judge_label": [
        post(
            done(REVIEWERS, 400),
            lambda world: slug(world) | {"pk": 1},
            why="no verdict: refused before anything is looked up",
        )
    ],
    "training:twins": [get(REVIEWERS, slug)],
    "training:apart": [
        post(
            done(REVIEWERS, 409),
            lambda world: slug(world) | {"pk": 1},
            why="there is no such pair",
        )
    ],
    "training:agreement": [get(REVIEWERS, slug)],
    "training:shadow": [get(MAINTAINERS, slug)],
    "training:start_shadow": [post(done(MAINTAINERS), lambda world: {"pk": world.version.pk})],
    "training:stop_shadow": [post(done(MAINTAINERS), slug)],
    "training:categories": [
        get(MAINTAINERS, slug),
        post(done(MAINTAINERS), slug, lambda world: {"name": "pizza"}),
    ],
    "training:move": [
        post(done(MAINTAINERS), lambda world: {"pk": world.category.pk}, lambda world: {"to": "up"})
    ],
    "training:merge": [
        post(
            done(MAINTAINERS, 400),
            lambda world: {"pk": world.category.pk},
            lambda world: {"into": world.category.name},
            why="into itself: refused",
        )
    ],
    "training:delete_category": [post(done(MAINTAINERS), lambda world: {"pk": world.category.pk})],
    "training:archive": [post(done(MAINTAINERS), slug)],
    "training:restore": [post(done(MAINTAINERS), slug)],
    "training:delete_project": [
        post(done(MAINTAINERS, 400), slug, lambda world: {"name": "x"}, why="another name")
    ],
    "training:known": [
        get(MAINTAINERS, slug),
        post(
            done(MAINTAINERS),
            slug,
            lambda world: {"classes": ["963", "928"]},
        ),
    ],
    "datasets:imports": [
        get(MAINTAINERS, slug),
        post(done(MAINTAINERS, 400), slug, why="no data set: refused by the form"),
    ],
    "datasets:import": [get(MAINTAINERS, sent)],
    "datasets:take": [
        post(done(MAINTAINERS, 409), sent, why="it was not looked through yet"),
    ],
    "datasets:preview": [get(done(MAINTAINERS, 404), sent, why="none of it was found yet")],
    "datasets:report": [get(done(MAINTAINERS, 404), sent, why="the same")],
    "datasets:discard": [post(done(MAINTAINERS), sent)],
    "importer:import_start": [
        get(MAINTAINERS),
        post(done(MAINTAINERS, 400), why="no endpoint: refused by the form"),
    ],
    "importer:choose_projects": [
        get(
            done(MAINTAINERS),
            lambda world: {"uuid": world.access.uuid},
            why="the key is too old, and to be typed in again",
        ),
        post(done(MAINTAINERS), lambda world: {"uuid": world.access.uuid}, why="the same"),
    ],
    "importer:import_detail": [get(MAINTAINERS, imported)],
    "importer:import_progress": [get(done(MAINTAINERS, 204), imported, why="it has ended")],
    "importer:cancel_import": [post(done(MAINTAINERS, 409), imported, why="the same")],
    "training:members": [get(MAINTAINERS, slug)],
    "training:add_member": [
        post(done(MAINTAINERS, 400), slug, why="no name: refused"),
    ],
    "training:change_member": [post(done(MAINTAINERS), member, lambda world: {"role": "reviewer"})],
    "training:remove_member": [post(done(MAINTAINERS), member)],
    "training:privacy": [post(done(MAINTAINERS), slug, lambda world: {"private": "1"})],
    "training:options": [
        get(MAINTAINERS, slug),
        post(
            done(MAINTAINERS),
            slug,
            lambda world: (
                {"name": "Dishes", "abstain_below": "0.5", "margin": "0.05"}
                | {"retrain_after_labels": "0", "retrain_every_days": "0"}
                | {"second_opinion_percent": "0"}
            ),
        ),
    ],
    "training:conditions": [get(MAINTAINERS, slug)],
    "training:label_next": [
        get(REVIEWERS, slug),
        post(done(REVIEWERS), slug, why="nothing chosen: a message says so"),
    ],
    "training:undo_labels": [post(done(REVIEWERS), slug)],
    "training:rank_pool": [post(done(REVIEWERS), slug)],
    "training:pool_progress": [get(done(REVIEWERS, 204), slug, why="no ranking is under way")],
    "training:add_unlabelled": [
        post(done(MAINTAINERS, 400), slug, why="no picture: refused by the form")
    ],
    # The API
    "api:projects": [get(api(MEMBERS))],
    "api:predict": [post(api(MEMBERS), slug, lambda world: {"file": world.upload()})],
    "api:predictions": [get(api(MEMBERS))],
    "api:prediction": [get(api(OWNER), prediction)],
    "api:feedback": [
        post(api(OWNER), prediction, lambda world: {"verdict": "UNSURE"}, is_json=True)
    ],
    "api:proposals": [
        get(api(REVIEWERS), slug),
        post(done(api(REVIEWERS), 400), slug, why="nothing to label: refused", is_json=True),
    ],
    "api:data_sets": [get(api(MAINTAINERS), slug)],
    "api:data_set_difference": [
        get(
            api(MAINTAINERS),
            lambda world: {"slug": world.run.project.slug, "older": 1, "newer": 1},
        )
    ],
    "api:origin": [get((401, 200, 404, 200, 200), prediction, why="as its page")],
    "api:schema": [get(ANYBODY, why="the description holds no data")],
    "api:try": [get(ANYBODY, why="the same; to try an operation one needs a token")],
    # For programs written for Custom Vision; customvision/tests/test_keys.py has who may do which
    # operation
    "customvision:answer": [
        get(KEY_ALONE, custom_vision, why="a key counts, and a session does not"),
        post(KEY_ALONE, custom_vision, why="the same"),
    ],
    "customvision:picture": [
        get(NOT_FOUND, lambda world: {"token": "wrong"}, why="a signed address is the key")
    ],
    "customvision:import_model": [
        get(MAINTAINERS, slug),
        post(done(MAINTAINERS, 400), slug, why="no archive: refused by the form"),
    ],
    "customvision:container_image": [
        get(NOT_FOUND, why="off unless CONTAINER_PROJECT is set; see customvision/api/tests"),
        post(NOT_FOUND, why="the same"),
    ],
    "customvision:container_url": [
        get(NOT_FOUND, why="the same"),
        post(NOT_FOUND, why="the same"),
    ],
    "customvision:export": [
        get(NOT_FOUND, lambda world: {"token": "wrong"}, why="a signed address is the key")
    ],
}

# Old addresses of allauth, without a name, that redirect to the ones above
OLD_ADDRESSES = (
    "social/login/cancelled/",
    "social/login/error/",
    "social/signup/",
    "social/connections/",
)
