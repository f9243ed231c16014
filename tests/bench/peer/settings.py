# mypy: ignore-errors
"""Django settings. ``PEER_DATABASE_URL`` names the database."""

import os

from psycopg.conninfo import conninfo_to_dict

_where = conninfo_to_dict(os.environ.get("PEER_DATABASE_URL", ""))

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _where.get("dbname"),
        "HOST": _where.get("host"),
        "PORT": _where.get("port"),
        "USER": _where.get("user"),
        "PASSWORD": _where.get("password"),
        "CONN_MAX_AGE": None,
        "OPTIONS": {"prepare_threshold": 5, "server_side_binding": True},
    }
}
SECRET_KEY = "bench"
DEBUG = False
USE_TZ = True
TIME_ZONE = "UTC"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.bench.peer.urls"
WSGI_APPLICATION = "tests.bench.peer.wsgi.application"
INSTALLED_APPS = ["rest_framework", "django_filters", "tests.bench.peer"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Tables come straight from the models.
MIGRATION_MODULES = {"peer": None}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tests.bench.peer.authentication.HashedToken"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 50,
    "UNAUTHENTICATED_USER": None,
}
