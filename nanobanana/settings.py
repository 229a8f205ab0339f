"""Every setting of nanobanana. `env.example` explains the variables; a test compares the two."""

from pathlib import Path
from urllib.parse import quote

from dotenv import load_dotenv

from nanobanana import env
from nanobanana.cores import usable_cores
from nanobanana.mail_settings import mail_server
from nanobanana.redisdb import embedded
from nanobanana.secret import development_secret
from nanobanana.storage_choice import storage_type

BASE_DIR = Path(__file__).resolve().parent.parent
load_dotenv(BASE_DIR / ".env")  # what the environment says already wins

# ---- where and how to serve
ENVIRONMENTS = ("development", "test", "production")
APP_ENV = env.choice("NODE_ENV", "development", ENVIRONMENTS)
APP_ENV = env.choice("APP_ENV", APP_ENV, ENVIRONMENTS)
IS_PRODUCTION = APP_ENV == "production"
DEBUG = env.boolean("DEBUG", False)
HOST = env.text("HOST", "127.0.0.1" if not IS_PRODUCTION else "0.0.0.0")
PORT = env.integer("PORT", 3001, at_least=1, at_most=65535)
PUBLIC_BASE_URL = env.url("PUBLIC_BASE_URL", f"http://localhost:{PORT}")
CORS_ORIGIN = env.origins("CORS_ORIGIN", "http://localhost:5173")
VAR_DIR = env.directory("VAR_DIR", BASE_DIR / "var")
LOG_DIR = env.directory("LOG_DIR", BASE_DIR / "logs")
HEALTH_TOKEN = env.token("HEALTH_TOKEN")  # shows the details of /health; none: anybody sees them
METRICS_TOKEN = env.token("METRICS_TOKEN") or HEALTH_TOKEN  # shows /metrics; none: nobody in production
SHUTDOWN_DELAY = env.integer("SHUTDOWN_DELAY", 5 if IS_PRODUCTION else 0, at_most=300)  # seconds
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_LEVEL = env.choice("LOG_LEVEL", "info", LOG_LEVELS)
LOG_CONSOLE_LEVEL = env.choice(
    "LOG_CONSOLE_LEVEL", LOG_LEVEL if APP_ENV == "development" else "warning", LOG_LEVELS
)
LOG_FILE_SIZE = env.size("LOG_FILE_SIZE", "50MB")
LOG_FILES = env.integer("LOG_FILES", 5, at_least=2, at_most=1000)  # of each kind

# ---- jobs
READY_NEEDS_JOBS = env.boolean("READY_NEEDS_JOBS", False)  # whether /health/ready is 503 when nobody does any
JOB_WORKERS = env.integer("JOB_WORKERS", 1, at_most=64)  # processes that `manage.py serve` starts for them
JOBS_AT_ONCE = env.integer("JOBS_AT_ONCE", 8, at_least=1, at_most=256)  # of one process

# ---- Redis: named by URL, by host, or embedded
REDIS_HOST = env.host("REDIS_HOST")
REDIS_URL = env.redis_url("REDIS_URL")
REDIS_IS_EMBEDDED = not REDIS_URL and not REDIS_HOST
if REDIS_IS_EMBEDDED:
    REDIS_URL = embedded.url(VAR_DIR / "redis")
elif not REDIS_URL:
    password = quote(env.secret("REDIS_PASSWORD"), safe="")
    port = env.integer("REDIS_PORT", 6379, at_least=1, at_most=65535)
    database = env.integer("REDIS_DB", 0, at_most=1023)
    REDIS_URL = f"redis://{f':{password}@' if password else ''}{REDIS_HOST}:{port}/{database}"

# ---- accounts
JWT_SECRET = env.secret("JWT_SECRET") or ("" if IS_PRODUCTION else development_secret(VAR_DIR))
JWT_SECRET_PREVIOUS = env.secret("JWT_SECRET_PREVIOUS")  # verifies tokens while they change over, never signs
JWT_EXPIRES_IN = env.seconds("JWT_EXPIRES_IN", "7d")
REFRESH_EXPIRES_IN = env.seconds("REFRESH_EXPIRES_IN", "30d")
PASSWORD_CHECK = env.boolean("PASSWORD_CHECK", IS_PRODUCTION)

# ---- mails to users, and the front end that the links in them lead to
MAIL_FROM = DEFAULT_FROM_EMAIL = env.mailbox("MAIL_FROM", "nanobanana <no-reply@localhost>")
_front_ends = [origin for origin in CORS_ORIGIN if origin.startswith(("http://", "https://"))]
APP_URL = env.url("APP_URL", _front_ends[0] if _front_ends else PUBLIC_BASE_URL)
_mail_server = mail_server(is_production=IS_PRODUCTION)
EMAIL_BACKEND = _mail_server.backend
EMAIL_HOST, EMAIL_PORT = _mail_server.host, _mail_server.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail_server.user, _mail_server.password
EMAIL_USE_SSL, EMAIL_USE_TLS = _mail_server.is_tls, _mail_server.starts_tls
EMAIL_TIMEOUT = 10  # seconds

# ---- how much one caller may ask for
RATE_LIMIT_WINDOW_MS = env.integer("RATE_LIMIT_WINDOW_MS", 60_000, at_least=1, at_most=86_400_000)
RATE_LIMIT_MAX_REQUESTS = env.integer("RATE_LIMIT_MAX_REQUESTS", 600, at_most=1_000_000)
RATE_LIMIT_WRITES = env.integer("RATE_LIMIT_WRITES", max(1, RATE_LIMIT_MAX_REQUESTS // 2), at_least=1)
RATE_LIMIT_UPLOADS = env.integer("RATE_LIMIT_UPLOADS", max(1, RATE_LIMIT_MAX_REQUESTS // 10), at_least=1)
RATE_LIMIT_SIGN_INS = env.integer("RATE_LIMIT_SIGN_INS", max(1, RATE_LIMIT_MAX_REQUESTS // 20), at_least=1)
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")
SOCKETS_PER_USER = env.integer("SOCKETS_PER_USER", 50, at_least=1, at_most=10_000)

# ---- chats
IMPORT_MAX_SIZE = env.size("IMPORT_MAX_SIZE", "100MB")
TRASH_DAYS = env.integer("TRASH_DAYS", 30, at_least=1, at_most=3650)

# ---- pictures
STORAGE_TYPE = storage_type()
MEDIA_DIR = VAR_DIR / "media"
CDN_BASE_URL = env.url("CDN_BASE_URL")
AWS_ACCESS_KEY_ID = env.secret("AWS_ACCESS_KEY_ID")
AWS_SECRET_ACCESS_KEY = env.secret("AWS_SECRET_ACCESS_KEY")
AWS_REGION = env.text("AWS_REGION", "us-east-1")
AWS_S3_BUCKET = env.bucket("AWS_S3_BUCKET")
AWS_S3_ENDPOINT_URL = env.url("AWS_S3_ENDPOINT_URL")
AWS_S3_SSE = env.choice("AWS_S3_SSE", "none", ("none", "aes256", "aws:kms"))
ALIYUN_ACCESS_KEY_ID = env.secret("ALIYUN_ACCESS_KEY_ID")
ALIYUN_ACCESS_KEY_SECRET = env.secret("ALIYUN_ACCESS_KEY_SECRET")
ALIYUN_REGION = env.text("ALIYUN_REGION")
ALIYUN_BUCKET = env.bucket("ALIYUN_BUCKET")
ALIYUN_ENDPOINT = env.url("ALIYUN_ENDPOINT")
MAX_FILE_SIZE = env.size("MAX_FILE_SIZE", "10MB")
PROCESS_IN_BACKGROUND_ABOVE = env.size("PROCESS_IN_BACKGROUND_ABOVE", "5MB")
DECODERS = env.integer("DECODERS", usable_cores(), at_least=1, at_most=64)  # of one process
COMPRESS_ORIGINALS = env.boolean("COMPRESS_ORIGINALS", True)
CLAMAV_URL = env.url("CLAMAV_URL", schemes=("tcp", "unix"))
CLAMAV_WHEN_DOWN = env.choice("CLAMAV_WHEN_DOWN", "refuse", ("refuse", "accept"))
MEDIA_URL_EXPIRES_IN = env.seconds("MEDIA_URL_EXPIRES_IN", "24h")
CLEANUP_GRACE = env.seconds("CLEANUP_GRACE", "24h")
SWEEP_UNUSED_IMAGES = env.boolean("SWEEP_UNUSED_IMAGES", True)
QUOTA_IMAGES = env.integer("QUOTA_IMAGES", 0)  # of one user; 0 is no limit, here and below
QUOTA_BYTES = env.size("QUOTA_BYTES", "0", at_least=0)

# ---- Django
SECRET_KEY = JWT_SECRET or "only so that Django starts far enough for the checks to refuse"
DATABASES: dict = {}
ALLOWED_HOSTS = ["*"]  # no answer is built from the Host header
ROOT_URLCONF = "nanobanana.urls"
ASGI_APPLICATION = "nanobanana.asgi.application"
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False
INSTALLED_APPS = [
    "django.contrib.contenttypes",  # simplejwt imports the models of both; no table is ever made
    "django.contrib.auth",
    "rest_framework",
    "corsheaders",
    "channels",
    "nanobanana",
    "accounts",
    "chats",
    "media_store",
    "realtime",
]
MIDDLEWARE = [
    "nanobanana.middleware.identify_and_log",
    "nanobanana.middleware.secure",
    "nanobanana.middleware.CrossOrigin",
]
PASSWORD_HASHERS = ["accounts.passwords.Argon2idHasher", "accounts.passwords.BcryptHasher"]
CORS_ALLOWED_ORIGINS = [] if "*" in CORS_ORIGIN else CORS_ORIGIN
CORS_ALLOW_ALL_ORIGINS = "*" in CORS_ORIGIN
CORS_ALLOW_HEADERS = [
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "range",
]
CORS_EXPOSE_HEADERS = [
    "X-Sync-Cursor",
    "Idempotent-Replayed",
    "X-Request-Id",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Content-Disposition",
    "ETag",
    "Content-Range",
]
MAX_FILES_AT_ONCE = 10
DATA_UPLOAD_MAX_MEMORY_SIZE = (
    2 * 1024 * 1024
)  # of the fields of a form; nanobanana.asgi bounds the body itself
FILE_UPLOAD_MAX_MEMORY_SIZE = 512 * 1024  # larger files go to a temporary one
SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.1",
    "TITLE": "nanobanana",
    "VERSION": "1.0.0",
    "DESCRIPTION": "The backend of an AI image editor. docs/websocket.md has what goes over the socket.",
    "ENFORCE_NON_BLANK_FIELDS": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": [],
}
REST_FRAMEWORK = {"UNAUTHENTICATED_USER": None}
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": SECRET_KEY,
    "ISSUER": "nanobanana",
    "AUDIENCE": "nanobanana-api",
    "USER_ID_CLAIM": "userId",
    "USER_ID_FIELD": "id",
}
LOGGING_CONFIG = "nanobanana.logs.configure"
LOGGING = {
    "level": LOG_LEVEL.upper(),
    "console_level": LOG_CONSOLE_LEVEL.upper(),
    "for_people": APP_ENV == "development",
    "directory": LOG_DIR,
    "file_size": LOG_FILE_SIZE,
    "files": LOG_FILES,
}
