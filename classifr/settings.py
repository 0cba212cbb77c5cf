"""All settings, from the environment or a `.env` file beside manage.py; README.md explains each.

With nothing set, Classifr runs embedded: SQLite and pictures under `var/`, the local Keras model,
mails on the console. Installed from a wheel, it has `.env` and its data in the user's data folder.
"""

import os
import re
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from platformdirs import user_data_path

from common.processes import usable_core_count, web_process_count

BASE_DIR = Path(__file__).resolve().parent.parent
# Templates, translations and static files: beside the packages, in a wheel within this one
WHEEL_ASSETS_DIR = BASE_DIR / "classifr" / "assets"
IS_WHEEL = WHEEL_ASSETS_DIR.is_dir()
ASSETS_DIR = WHEEL_ASSETS_DIR if IS_WHEEL else BASE_DIR


class Environment(environ.Env):
    """Reads the environment, and explains a value that makes no sense rather than guess."""

    def get_value(self, var: str, cast: Any = None, *args: Any, **kwargs: Any) -> Any:
        value = os.environ.get(var)
        if (
            cast is bool
            and value is not None
            and value.lower() not in {*self.BOOLEAN_TRUE_STRINGS, *FALSE_STRINGS}
        ):
            raise ImproperlyConfigured(f"{var} is '{value}'. It can be true or false.")
        try:
            return super().get_value(var, cast, *args, **kwargs)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} is '{value}'. It must be a number.") from error


FALSE_STRINGS = ("false", "off", "n", "no", "0", "")
env = Environment()
DEFAULT_DATA_DIR = user_data_path("classifr", appauthor=False) if IS_WHEEL else BASE_DIR / "var"
env.read_env(
    Path(env.str("CLASSIFR_DATA_DIR", str(DEFAULT_DATA_DIR))) / ".env"
    if IS_WHEEL
    else BASE_DIR / ".env"
)


def secret(name: str, default: str = "") -> str:
    """Return a secret from the variable, or from the file that the variable with `_FILE` names."""
    if path := env.str(f"{name}_FILE", ""):
        return Path(path).read_text().strip()
    return env.str(name, default)


def embedded_secret_key() -> str:
    """Return the key kept under `DATA_DIR`, made at first use: sessions survive a restart."""
    path = DATA_DIR / "secret_key"
    # O_EXCL: of two processes that start at once, one alone makes it.
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path.read_text()
    key = secrets.token_urlsafe(50)
    with os.fdopen(descriptor, "w") as file:
        file.write(key)
    return key


# Where the embedded default keeps everything
DATA_DIR = Path(env.str("CLASSIFR_DATA_DIR", str(DEFAULT_DATA_DIR))).resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)

# The path of the site on its host: "" for a host of its own, or "/classifr"
URL_PREFIX = env.str("URL_PREFIX", "").rstrip("/")
if not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*", URL_PREFIX):
    raise ImproperlyConfigured(
        f"URL_PREFIX is '{URL_PREFIX}'. It begins with a slash, as /classifr does, or is empty."
    )
FORCE_SCRIPT_NAME = URL_PREFIX or None
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = LANGUAGE_COOKIE_PATH = f"{URL_PREFIX}/"

# Security
DEBUG = env.bool("DEBUG", False)
SECRET_KEY = secret("SECRET_KEY") or embedded_secret_key()
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
HTTPS = env.bool("HTTPS", False)
BEHIND_PROXY = env.bool("BEHIND_PROXY", False)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 31_536_000) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
# By the path without its first slash
SECURE_REDIRECT_EXEMPT = [
    f"^{re.escape(f'{URL_PREFIX}/'.lstrip('/'))}{name}$"
    for name in ("healthz", "readyz", "metrics")
]
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "classifr.views.csrf_failure"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "blob:", "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

INSTALLED_APPS = [
    "accounts",
    "predictions",
    "notifications",
    "review",
    "training",
    "common",
    "customvision",
    "customvision.importer",
    "classifr",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "crispy_forms",
    "crispy_bootstrap5",
    "bootstrap",
    "corsheaders",
    "django_htmx",
    "rest_framework",
    "knox",
    "drf_spectacular",
]

MIDDLEWARE = [
    "classifr.middleware.RequestIdMiddleware",
    "classifr.metrics.middleware.RequestMetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "classifr.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "classifr.middleware.HtmxLoginMiddleware",
    "classifr.middleware.DomainErrorMiddleware",
    "classifr.project_scope.ProjectScopeMiddleware",
]

ROOT_URLCONF = "classifr.urls"
WSGI_APPLICATION = "classifr.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ASSETS_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
            ],
        },
    },
]
CRISPY_ALLOWED_TEMPLATE_PACKS = CRISPY_TEMPLATE_PACK = "bootstrap5"

# Database: SQLite by default, write-ahead logging and a busy time-out that outlasts any of our
# transactions
DATABASES: dict[str, Any] = {
    "default": env.db_url_config(
        secret("DATABASE_URL") or f"sqlite:///{DATA_DIR / 'classifr.sqlite3'}"
    )
}
DATABASES["default"].setdefault("CONN_MAX_AGE", env.int("CONN_MAX_AGE", 60))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA "
        "foreign_keys=ON;",
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)

# The cache holds the rates of log-ins and API requests: in files, which the processes of one
# machine share. Several machines need one that they share: redis://... While it cannot be used,
# each process counts for itself.
STEADY = "common.caches.SteadyCache"
CACHES: dict[str, Any] = {
    "default": {"BACKEND": STEADY, "LOCATION": "rates", "OPTIONS": {"MAX_ENTRIES": 10_000}},
    "rates": env.cache_url_config(
        secret("CACHE_URL") or f"filecache://{DATA_DIR / 'cache' / 'rates'}"
    ),
    # Apart from the rates, or looking at heat maps would push counted log-ins out
    "explanations": {"BACKEND": STEADY, "LOCATION": "explanation_files"},
    "explanation_files": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": DATA_DIR / "cache" / "explanations",
        "OPTIONS": {"MAX_ENTRIES": 500},
    },
}
if CACHES["rates"]["BACKEND"].endswith("FileBasedCache"):
    CACHES["rates"]["OPTIONS"] = {"MAX_ENTRIES": 10_000}  # beyond it some rates are forgotten
elif CACHES["rates"]["BACKEND"] == "django.core.cache.backends.redis.RedisCache":
    CACHES["rates"]["BACKEND"] = "common.caches.QuickRedisCache"


def storage(alias: str) -> dict[str, Any]:
    """Return where the pictures or models of this alias live, from `<ALIAS>_STORAGE`.

    `disk` (a folder of DATA_DIR), `azure:CONTAINER` or `s3:BUCKET`; the credentials are shared by
    all aliases.
    """
    kind, _colon, name = env.str(f"{alias.upper()}_STORAGE", "disk").partition(":")
    match kind:
        case "azure":
            options: dict[str, Any] = {
                "azure_container": name,
                "overwrite_files": False,
                "expiration_secs": 300,
            }
            options["timeout"] = env.int("AZURE_STORAGE_TIMEOUT_SECONDS", 10)
            if connection_string := secret("AZURE_STORAGE_CONNECTION_STRING"):
                options["connection_string"] = connection_string
            else:
                from azure.identity import DefaultAzureCredential

                options["account_name"] = env.str("AZURE_STORAGE_ACCOUNT")
                options["token_credential"] = DefaultAzureCredential()
            return {"BACKEND": "common.blob_storages.AzureBlobStorage", "OPTIONS": options}
        case "s3":
            options = {
                "bucket_name": name,
                "file_overwrite": False,
                "default_acl": "private",
                "querystring_expire": 300,
            }
            options["endpoint_url"] = env.str("AWS_S3_ENDPOINT_URL", "") or None
            return {"BACKEND": "common.blob_storages.S3BlobStorage", "OPTIONS": options}
        case _:
            folder = name or str(DATA_DIR / alias)
            return {"BACKEND": "common.storages.DiskStorage", "OPTIONS": {"location": folder}}


def blob_origin() -> str:
    """Return the origin of the Azure storage account, from which browsers may load pictures."""
    parts = dict(
        part.split("=", 1)
        for part in secret("AZURE_STORAGE_CONNECTION_STRING").split(";")
        if "=" in part
    )
    account = parts.get("AccountName") or env.str("AZURE_STORAGE_ACCOUNT", "")
    endpoint = (
        parts.get("BlobEndpoint")
        or f"https://{account}.blob.{parts.get('EndpointSuffix', 'core.windows.net')}"
    )
    return "{0.scheme}://{0.netloc}".format(urlsplit(endpoint))


# Pictures in Azure Blob Storage through the application, or straight from there with links of a few
# minutes
AZURE_STORAGE_LINKS = env.bool("AZURE_STORAGE_LINKS", False)
if AZURE_STORAGE_LINKS:
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["img-src"].append(blob_origin())

STORAGES = {
    "default": storage("uploads"),
    "uploads": storage("uploads"),
    "misclassified": storage("misclassified"),
    "models": storage("models"),
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
STATIC_URL = f"{URL_PREFIX}/static/"
STATIC_ROOT = ASSETS_DIR / "static-root"
STATICFILES_DIRS = [ASSETS_DIR / "static"]
WHITENOISE_KEEP_ONLY_HASHED_FILES = True

# Of archives that `backup --encrypt` writes
BACKUP_PASSPHRASE = secret("BACKUP_PASSPHRASE")

# Uploads
UPLOAD_FORMATS = env.list("UPLOAD_FORMATS", default=["JPEG", "PNG", "WEBP", "BMP", "GIF", "HEIC"])
UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", 20_000_000)  # photos of phones are as large
UPLOAD_REQUEST_MAX_BYTES = env.int("UPLOAD_REQUEST_MAX_BYTES", 400_000_000)
UPLOAD_REDUCE_ABOVE_BYTES = env.int("UPLOAD_REDUCE_ABOVE_BYTES", 4_000_000)  # in the browser
UPLOAD_MAX_PIXELS = env.int("UPLOAD_MAX_PIXELS", 50_000_000)
IMPORT_MAX_BYTES = env.int("IMPORT_MAX_BYTES", 400_000_000)  # of a data set sent by a form
UPLOAD_BATCH_MAX_FILES = env.int("UPLOAD_BATCH_MAX_FILES", 100)
UPLOAD_RATE = env.str("UPLOAD_RATE", "600/m")  # pictures per user: N/s, N/m, N/h or N/d
UPLOAD_QUOTA = env.int("UPLOAD_QUOTA", 20_000)  # pictures per user and day
UPLOAD_MEGAPIXELS = env.int(
    "UPLOAD_MEGAPIXELS", 40
)  # times scans, of a picture on average, within rate and quota
TEXT_MAX_CHARACTERS = env.int("TEXT_MAX_CHARACTERS", 5_000)
TEXT_BATCH_MAX = env.int("TEXT_BATCH_MAX", 500)  # texts of one file, or of several
DATA_UPLOAD_MAX_NUMBER_FILES = UPLOAD_BATCH_MAX_FILES
# Of a form's text: each escape takes 77 bytes while it is read
DATA_UPLOAD_MAX_MEMORY_SIZE = 65_536
FILE_UPLOAD_HANDLERS = ["common.media.upload_handlers.SizeLimitedUploadHandler"]

# How slow a client may be: seconds for the head of a request, and after that for so many bytes as
# the rate says
CLIENT_SECONDS = env.int("CLIENT_SECONDS", 20)
CLIENT_BYTES_PER_SECOND = env.int("CLIENT_BYTES_PER_SECOND", 500)

# What is kept: `nok` lets a picture go after an OK, `all` keeps it. An unanswered one goes after
# its time to live.
RETENTION = env.str("RETENTION", "nok")
UNANSWERED_TTL = timedelta(hours=env.int("UNANSWERED_TTL_HOURS", 24 * 7))

# Review: what is queued besides NOK and "not sure", and for how long a reviewer has a sample to
# themselves
REVIEW_LOW_CONFIDENCE = env.float(
    "REVIEW_LOW_CONFIDENCE", 0.5
)  # top probabilities below this are looked at
REVIEW_AUDIT_PERCENT = env.float(
    "REVIEW_AUDIT_PERCENT", 1.0
)  # of all samples, drawn by their digest; 0: none
REVIEW_RECENT = env.int(
    "REVIEW_RECENT", 2_500
)  # the newest answers, among which those two and abstentions are sought
REVIEW_LEASE_SECONDS = env.int("REVIEW_LEASE_SECONDS", 180)

# Models
PREDICTORS: dict[str, dict[str, Any]] = {
    "keras": {"BACKEND": "predictions.predictors.local.predictor.LocalPredictor"},
    "dummy": {"BACKEND": "predictions.predictors.dummy.DummyPredictor"},
    "text": {"BACKEND": "predictions.predictors.text.predictor.TextPredictor"},
    "exported": {"BACKEND": "customvision.exported.predictor.ExportedPredictor"},
    "azure": {
        "BACKEND": "customvision.predictor.CustomVisionPredictor",
        "OPTIONS": {
            "endpoint": env.str("AZURE_CUSTOM_VISION_PREDICTION_ENDPOINT", ""),
            "key": secret("AZURE_CUSTOM_VISION_PREDICTION_KEY"),
            "tier": env.str("AZURE_CUSTOM_VISION_TIER", "S0"),
            "store": env.bool("AZURE_CUSTOM_VISION_STORE", False),
        },
    },
}
# The training resource of Azure Custom Vision: a trainer, and where projects are brought home from
AZURE_CUSTOM_VISION_TRAINING_ENDPOINT = env.str("AZURE_CUSTOM_VISION_TRAINING_ENDPOINT", "")
AZURE_CUSTOM_VISION_TRAINING_KEY = secret("AZURE_CUSTOM_VISION_TRAINING_KEY")
# Whose models answer in place of those of a predictor that does not, and are marked as such
FALL_BACK_TO = {"azure": "keras"} if env.bool("AZURE_CUSTOM_VISION_FALLBACK", False) else {}
TRAINERS: dict[str, dict[str, Any]] = {
    "keras": {"BACKEND": "training.trainers.local.trainer.LocalTrainer"},
    "dummy": {"BACKEND": "training.trainers.dummy.DummyTrainer"},
    "text": {"BACKEND": "training.trainers.text.trainer.TextTrainer"},
    "azure": {
        "BACKEND": "customvision.trainer.trainer.CustomVisionTrainer",
        "OPTIONS": {
            "endpoint": AZURE_CUSTOM_VISION_TRAINING_ENDPOINT,
            "key": AZURE_CUSTOM_VISION_TRAINING_KEY,
            "resource_id": env.str("AZURE_CUSTOM_VISION_PREDICTION_RESOURCE_ID", ""),
            "tier": env.str("AZURE_CUSTOM_VISION_TIER", "S0"),
            "projects": env.dict("AZURE_CUSTOM_VISION_PROJECTS", default={}),
            "keep_iterations": env.int("AZURE_CUSTOM_VISION_KEEP_ITERATIONS", 10),
        },
    },
}
DEFAULT_TRAINER = env.str("DEFAULT_TRAINER", "keras")
DEFAULT_TEXT_TRAINER = env.str("DEFAULT_TEXT_TRAINER", "text")
DEFAULT_BACKBONE = env.str("DEFAULT_BACKBONE", "lite0")
# What the backbone "auto" may take for one picture on this machine, in milliseconds of CPU
AUTO_BACKBONE_CPU_MS = env.float("AUTO_BACKBONE_CPU_MS", 20.0)
# Where runs that have ended are logged as well ("": nowhere), and who logs them there
MLFLOW_TRACKING_URI = env.str("MLFLOW_TRACKING_URI", "")
MLFLOW_TRACKING_TOKEN = secret("MLFLOW_TRACKING_TOKEN")
MLFLOW_TRACKING_USERNAME = env.str("MLFLOW_TRACKING_USERNAME", "")
MLFLOW_TRACKING_PASSWORD = secret("MLFLOW_TRACKING_PASSWORD")
CLASSIFR_WEIGHTS_DIR = env.str("CLASSIFR_WEIGHTS_DIR", "")
LOAD_MODELS_AT_START = env.bool("LOAD_MODELS_AT_START", False)
WEB_PROCESSES = env.int("WEB_CONCURRENCY", 0) or web_process_count()
ENGINE_THREADS = env.int("ENGINE_THREADS", max(1, usable_core_count() // WEB_PROCESSES))

# Accounts
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.UsernameOrEmailBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "accounts.adapters.InvitedOnlyAdapter"
SOCIALACCOUNT_ADAPTER = "accounts.adapters.InvitedOnlySocialAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
ACCOUNT_FORMS = {
    "login": "accounts.forms.LoginForm",
    "signup": "accounts.forms.SignupForm",
}
ACCOUNT_PREVENT_ENUMERATION = True
# Whoever finds a session open makes no token and takes no account over by another address
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_CHANGE_EMAIL = True  # one address for each user; a new one counts once it is confirmed
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False  # this session goes on, all others end
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Classifr] "
SIGNUP_OPEN = env.bool("SIGNUP_OPEN", False)
ACCOUNT_EMAIL_VERIFICATION = (
    "mandatory" if SIGNUP_OPEN else "none"
)  # an invitation went to the address already
ALLAUTH_TRUSTED_PROXY_COUNT = (
    env.int("PROXY_COUNT", 1) if BEHIND_PROXY else 0
)  # whose address rate limits count
INVITATION_DAYS = env.int("INVITATION_DAYS", 7)
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"] if env.bool("MFA", False) else []
OIDC_SERVER_URL = env.str(
    "OIDC_SERVER_URL", ""
)  # Entra ID: https://login.microsoftonline.com/<tenant>/v2.0
# What groups of the directory give at each log-in: {group: {"role": ..., "projects": {slug: ...}}}
OIDC_GROUPS = env.str("OIDC_GROUPS", "")
OIDC_GROUPS_CLAIM = env.str("OIDC_GROUPS_CLAIM", "groups")
SOCIALACCOUNT_EMAIL_AUTHENTICATION = SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {}
if OIDC_SERVER_URL:
    # The log-in form is sent on to the provider, which the policy must allow
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["form-action"].append(
        "{0.scheme}://{0.netloc}".format(urlsplit(OIDC_SERVER_URL))
    )
    SOCIALACCOUNT_PROVIDERS["openid_connect"] = {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": env.str("OIDC_ID", "entra"),
                "name": env.str("OIDC_NAME", "Microsoft Entra ID"),
                "client_id": env.str("OIDC_CLIENT_ID"),
                "secret": secret("OIDC_CLIENT_SECRET"),
                "settings": {
                    "server_url": OIDC_SERVER_URL,
                    # Entra ID does not say whether an address is verified; in a tenant of one's own
                    # it is
                    "verified_email": env.bool("OIDC_EMAIL_VERIFIED", False),
                },
            }
        ],
    }

EMAIL_CONFIG = env.email_url_config(secret("EMAIL_URL") or "consolemail://")
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "classifr@localhost")

# API
REST_FRAMEWORK = {
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "classifr.negotiation.JsonFirstNegotiation",
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.ApiTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"user": env.str("API_RATE", "6000/m")},
    "DEFAULT_VERSIONING_CLASS": None,
    "EXCEPTION_HANDLER": "classifr.api.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
KNOX_TOKEN_MODEL = "accounts.ApiToken"  # noqa: S105 (the name of a model)
MIGRATION_MODULES = {
    "knox": None
}  # its own table stays away: PostgreSQL could not be flushed past it
REST_KNOX = {
    "TOKEN_TTL": timedelta(days=env.int("TOKEN_DAYS", 365)),
    "TOKEN_MODEL": KNOX_TOKEN_MODEL,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Classifr API",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVERS": [{"url": URL_PREFIX}] if URL_PREFIX else [],
    "ENUM_NAME_OVERRIDES": {"SplitEnum": ["train", "validation", "test"]},
}

# Custom Vision compatible server: hosts or networks of one's own that pictures may be fetched from
# all the same
CUSTOM_VISION_URL_ALLOW = env.list("CUSTOM_VISION_URL_ALLOW", default=[])
# The interface of exported containers: which project answers there ("": none does), and in whose
# name if a request brings no key ("": it needs one)
CONTAINER_PROJECT = env.str("CONTAINER_PROJECT", "")
CONTAINER_USER = env.str("CONTAINER_USER", "")

# Programs in the browser on sites of others: these origins may ask for predictions, by a token and
# never by the cookie of whoever sits there
CORS_ALLOWED_ORIGINS = env.list("PREDICTION_CORS_ORIGINS", default=[])
CORS_ALLOW_ALL_ORIGINS = "*" in CORS_ALLOWED_ORIGINS
if CORS_ALLOW_ALL_ORIGINS:
    CORS_ALLOWED_ORIGINS = []
CORS_ALLOW_CREDENTIALS = False
CORS_URLS_REGEX = r"(?i)^/+(customvision/+v[^/]+/+prediction/|api/v1/projects/[^/]+/predict$)"
CORS_ALLOW_METHODS = ["POST", "OPTIONS"]
CORS_ALLOW_HEADERS = [
    *("accept", "authorization", "content-type", "prediction-key", "ocp-apim-subscription-key"),
    *("x-ms-client-request-id", "x-ms-command-name", "x-ms-useragent"),  # of the npm package
]
CORS_EXPOSE_HEADERS = ["apim-request-id", "request-id", "retry-after"]

# Languages
LANGUAGE_CODE = env.str("LANGUAGE_CODE", "en")
LANGUAGES = [("en", _("English")), ("fr", _("French")), ("ja", _("Japanese"))]
LOCALE_PATHS = [ASSETS_DIR / "locale"]
USE_I18N = USE_TZ = True
TIME_ZONE = env.str("TIME_ZONE", "UTC")

# Metrics for Prometheus: not there unless a token or networks may read them
METRICS_TOKEN = secret("METRICS_TOKEN")
METRICS_NETWORKS = env.list("METRICS_NETWORKS", default=[])
METRICS = bool(METRICS_TOKEN or METRICS_NETWORKS)
if METRICS:
    # Before anything imports prometheus_client, which looks at it once
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(DATA_DIR / "metrics"))
    Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).mkdir(parents=True, exist_ok=True)

LOG_FORMAT = env.str("LOG_FORMAT", "line")
if LOG_FORMAT not in {"line", "json"}:
    raise ImproperlyConfigured(f"LOG_FORMAT is '{LOG_FORMAT}'. It can be line or json.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "common.logs.LineFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        },
        "json": {"()": "common.logs.JsonFormatter"},
    },
    "filters": {"refusals": {"()": "common.logs.RefusalWithoutTraceback"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            "filters": ["refusals"],
        }
    },
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", "INFO")},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        "azure": {"level": "WARNING"},  # tens of lines for each request otherwise
    },
}
