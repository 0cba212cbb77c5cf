"""Light, dark, or what the system says: chosen by a cookie, so it holds before log-in too."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

LIGHT, DARK, SYSTEM = THEMES = ("light", "dark", "system")
COOKIE = "theme"
COOKIE_SECONDS = 365 * 24 * 3600


def chosen_theme(request: HttpRequest) -> str:
    found = request.COOKIES.get(COOKIE, SYSTEM)
    return found if found in THEMES else SYSTEM


@require_POST
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Keep the chosen theme, and go back to the page it was chosen on."""
    target = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    response = redirect(target if is_ours else "home")
    wanted = request.POST.get("theme", SYSTEM)
    if wanted in THEMES:
        response.set_cookie(
            COOKIE,
            wanted,
            max_age=COOKIE_SECONDS,
            path=settings.SESSION_COOKIE_PATH,
            secure=request.is_secure(),
            httponly=True,
            samesite="Lax",
        )
    return response
