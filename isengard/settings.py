"""Settings, all from the environment or `.env` (see `.env.example`). Nothing else reads the environment.

Importable without `django.setup()`: the supervisor reads it too.
"""

import hashlib
import socket
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from isengard.api.schema.document import spectacular_settings
from isengard.cockpit.look import unfold_settings
from isengard.databases.configuration import configured
from isengard.environment import BASE_DIR, at_least, choice, env, secret_key
from isengard.logs import logging_config

VERSION = "0.1.0"
# What runs, and where
MODE = choice("ISENGARD_MODE", ("fast-test", "production"), "fast-test")
IS_PRODUCTION = MODE == "production"
DATA_DIR = Path(env.str("ISENGARD_DATA_DIR", str(BASE_DIR / "data"))).expanduser().resolve()
RUN_DIR = DATA_DIR / "run"
HOST = env.str("HOST", "127.0.0.1")
PORT = int(at_least("PORT", 1, 8000))
HOSTNAME = env.str("ISENGARD_HOSTNAME", socket.gethostname())
SHUTDOWN_GRACE_SECONDS = at_least("ISENGARD_SHUTDOWN_GRACE_SECONDS", 1, 120 if IS_PRODUCTION else 5)

if env.str("ISENGARD_API_KEYS", ""):
    raise ImproperlyConfigured(
        "ISENGARD_API_KEYS is set, but this version cannot check keys: unset it, or use a proxy."
    )


SECRET_KEY = secret_key(DATA_DIR, is_production=IS_PRODUCTION)
ADMIN_PASSWORD = env.str("ISENGARD_ADMIN_PASSWORD", "")
DEBUG = False
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in ALLOWED_HOSTS if IS_PRODUCTION and "*" not in host]
TRUSTED_PROXIES = tuple(env.list("TRUSTED_PROXIES", default=[]))
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_PRODUCTION
X_FRAME_OPTIONS = "DENY"

# Applications
INSTALLED_APPS = [
    "isengard",
    "generation",
    "training",
    "jobs",
    "characters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    # Before the admin, whose site and templates it takes the place of.
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "isengard.api.correlation.CorrelationMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "isengard.api.errors.JsonErrorsMiddleware",
    "isengard.api.bodies.BodyLimitMiddleware",
    "isengard.cockpit.policy.ContentSecurityPolicyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "isengard.urls"
ASGI_APPLICATION = "isengard.asgi.application"
WSGI_APPLICATION = "isengard.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
UNFOLD = unfold_settings()
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# Without a collectstatic (as under `make run`) whitenoise serves the files from the packages they came in.
WHITENOISE_USE_FINDERS = not (STATIC_ROOT / "admin").exists()
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}]

# Database
DATABASES = {
    "default": configured(
        env.db("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'isengard.sqlite3'}"),
        test_database=DATA_DIR / "test.sqlite3",
    )
}
# So long a request waits for a database that is locked or does not answer; then it is refused with 503.
DATABASE_WAIT_SECONDS = at_least("ISENGARD_DATABASE_WAIT_SECONDS", 0.1, 10)

# Redis: queue, progress, rate limits
REDIS_IS_EMBEDDED = not env.str("REDIS_URL", "")


def _embedded_socket() -> Path:
    """Return where the private Valkey listens. A unix socket's path may have about 100 bytes, so a deep data directory
    gets one below the temporary directory, named by a digest of the data directory."""
    inside = RUN_DIR / "valkey.sock"
    if len(str(inside).encode()) <= 100:
        return inside
    digest = hashlib.sha256(str(DATA_DIR).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"isengard-{digest}" / "valkey.sock"


REDIS_SOCKET = _embedded_socket() if REDIS_IS_EMBEDDED else None
REDIS_URL = env.str("REDIS_URL", "") or f"unix://{REDIS_SOCKET}"
REDIS_KEY_PREFIX = "isengard:"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "isengard:cache",
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 1.0},
    }
}

# Celery: a message is a doorbell that names a kind of job; the row in the database is the job
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TRACK_STARTED = False
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_TASK_DEFAULT_QUEUE = "maintenance"
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# The default of Celery 6 would kill hours of training because Redis blinked.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A Redis that is full, a replica or wants another password refuses commands: that must not end a worker and its runs.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_WORKER_CONSUMER = "isengard.reconnecting:PatientConsumer"
CELERY_BEAT_SCHEDULER = "isengard.reconnecting:PatientScheduler"
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 172_800,
    # A connection whose other end is gone without a word is found within twice this time.
    "health_check_interval": 5,
    "socket_connect_timeout": 1,
    # Without it a Redis that accepts and never answers holds up every request and every run that rings.
    "socket_timeout": 1,
    "global_keyprefix": REDIS_KEY_PREFIX,
    # A ring is tried once: the sweep repairs what was missed, and the API must not wait for a Redis that is away.
    "max_retries": 0,
    **({} if REDIS_URL.startswith("unix://") else {"socket_keepalive": True}),
}
CELERY_VISIBILITY_TIMEOUT = 172_800
SWEEP_SECONDS = 3
REAP_SECONDS = 5
TIDY_SECONDS = 1800
CELERY_BEAT_SCHEDULE = {
    # A message that waited longer than its period is worthless: the next one does the same work.
    "sweep": {"task": "jobs.sweep", "schedule": SWEEP_SECONDS, "options": {"expires": SWEEP_SECONDS}},
    "reap": {"task": "jobs.reap", "schedule": REAP_SECONDS, "options": {"expires": REAP_SECONDS}},
    "tidy": {"task": "jobs.tidy", "schedule": TIDY_SECONDS, "options": {"expires": TIDY_SECONDS}},
}

# Storage: keys below one root
MEDIA_ROOT = DATA_DIR
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
FILE_UPLOAD_PERMISSIONS = 0o640
FILE_UPLOAD_TEMP_DIR = str(DATA_DIR / "tmp")
# `manage.py prepare` makes the directory.
SILENCED_SYSTEM_CHECKS = ["files.E001"]
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
DATA_UPLOAD_MAX_NUMBER_FILES = 100
# With less than this free no upload is taken and no job starts.
MIN_FREE_BYTES = round(at_least("ISENGARD_MIN_FREE_GB", 0, 1) * 1_000_000_000)
# Of each kind of job: for how many days ended ones are kept, and how many of the newest in any case. 0 sets no bound.
RETENTION = {
    "training": (
        at_least("ISENGARD_RETENTION_TRAINING_DAYS", 0, 0),
        at_least("ISENGARD_RETENTION_TRAINING_JOBS", 0, 0),
    ),
    "generation": (
        at_least("ISENGARD_RETENTION_GENERATION_DAYS", 0, 0),
        at_least("ISENGARD_RETENTION_GENERATION_JOBS", 0, 0),
    ),
}

# Engines
SIMULATOR_STEP_SECONDS = at_least("ISENGARD_SIMULATOR_STEP_SECONDS", 0, 0.02)
GPU = env.str("ISENGARD_GPU", "0")
GPU_SHARING = choice("ISENGARD_GPU_SHARING", ("exclusive", "shared"), "exclusive" if IS_PRODUCTION else "shared")
# After so long a training makes room for waiting generations, for so long at most. Without minutes it never does.
GENERATION_WINDOW_MINUTES = at_least("ISENGARD_GENERATION_WINDOW_MINUTES", 0, 0)
GENERATION_WINDOW_SECONDS = at_least("ISENGARD_GENERATION_WINDOW_SECONDS", 1, 600)

STAND_IN_TRAINER = BASE_DIR / "training" / "engines" / "simulator"
AI_TOOLKIT_DIR = Path(
    env.str("AI_TOOLKIT_DIR", "" if IS_PRODUCTION else str(STAND_IN_TRAINER)) or "/ai-toolkit-is-not-set"
)
AI_TOOLKIT_PYTHON = env.str("AI_TOOLKIT_PYTHON", sys.executable)
TRAINER_STALL_MINUTES = at_least("ISENGARD_TRAINER_STALL_MINUTES", 1, 20)
# Base models and adapters that lie on this machine already; what is not here comes from the hub or its cache.
MODELS_DIR = Path(env.str("ISENGARD_MODELS_DIR", str(DATA_DIR / "models"))).expanduser().resolve()

# The trainer is somebody else's program: it gets what it needs and none of our secrets.
_TRAINER_NAMES = (
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "XDG_CACHE_HOME",
    "OMP_NUM_THREADS",
)
_TRAINER_PREFIXES = (
    "CUDA_",
    "NVIDIA_",
    "HF_",
    "HUGGINGFACE_",
    "TRANSFORMERS_",
    "TORCH_",
    "PYTORCH_",
    "LC_",
    "ISENGARD_SIMULATOR_",
)
TRAINER_ENVIRONMENT = {
    name: value for name, value in env.ENVIRON.items() if name in _TRAINER_NAMES or name.startswith(_TRAINER_PREFIXES)
} | {"ISENGARD_SIMULATOR_STEP_SECONDS": str(SIMULATOR_STEP_SECONDS)}
if IS_PRODUCTION or env.str("ISENGARD_GPU", ""):
    TRAINER_ENVIRONMENT |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": GPU}

COMFYUI_IS_EMBEDDED = not IS_PRODUCTION and not env.str("COMFYUI_URL", "")
COMFYUI_URL_FILE = RUN_DIR / "comfyui.url"


def _comfyui_urls() -> tuple[str, ...]:
    """Return the ComfyUI servers, each `http://host:port` or `http://host:port#gpu=N`: one generation slot each."""
    given = env.list("COMFYUI_URL", default=[])
    if not given and COMFYUI_URL_FILE.exists():
        # Written by the supervisor, so that a command typed beside a running `make run` finds its stand-in.
        given = [COMFYUI_URL_FILE.read_text().strip()]
    urls = tuple(url.strip().rstrip("/") for url in given if url.strip()) or ("http://127.0.0.1:8188",)
    for url in urls:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ImproperlyConfigured(f"COMFYUI_URL has {url!r}; it must look like http://127.0.0.1:8188.")
    return urls


COMFYUI_URLS = _comfyui_urls()

# Jobs of a kind that may wait; a further one is refused with 503. 0: any number.
QUEUE_LIMIT = int(at_least("ISENGARD_QUEUE_LIMIT", 0, 1000))

# API
RATE_LIMITS = choice("ISENGARD_RATE_LIMITS", ("contract", "off"), "contract")
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_RENDERER_CLASSES": ["isengard.api.rendering.JsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["isengard.api.parsing.JsonParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "isengard.api.rendering.AlwaysJson",
    "DEFAULT_METADATA_CLASS": "isengard.api.metadata.AllowedMethods",
    "DEFAULT_THROTTLE_CLASSES": ["isengard.api.throttling.ContractThrottle"],
    "DEFAULT_PAGINATION_CLASS": "isengard.api.paging.LimitOffset",
    "DEFAULT_SCHEMA_CLASS": "isengard.api.schema.inspection.ApiSchema",
    "EXCEPTION_HANDLER": "isengard.api.errors.answer_exception",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
# Requests per minute and client address, by the `throttle_scope` of a view; only POST counts.
RATES_PER_MINUTE = {"upload": 30, "lora-upload": 30, "training": 5, "generation": 20, "client-logs": 60}
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=["http://localhost:3000", "http://127.0.0.1:3000"])
CORS_ALLOW_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
CORS_ALLOW_HEADERS = [
    "accept",
    "authorization",
    "cache-control",
    "cancel-after",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "range",
    "x-correlation-id",
    "x-requested-with",
]
CORS_EXPOSE_HEADERS = ["X-Correlation-ID", "X-Total-Count", "Retry-After"]
CORS_ALLOW_CREDENTIALS = True
SPECTACULAR_SETTINGS = spectacular_settings(version=VERSION)

# Logs
LOG_LEVEL = choice("ISENGARD_LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO")
LOGGING = logging_config(level=LOG_LEVEL, is_json=IS_PRODUCTION)
