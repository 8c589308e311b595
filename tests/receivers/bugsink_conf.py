"""Bugsink's settings for a test: everything in one folder, every event digested at once, nothing sent anywhere."""

# ruff: noqa: F403 - how Bugsink's settings are meant to be written
import os
from pathlib import Path

from bugsink.settings.default import *
from bugsink.settings.default import DATABASES

_FOLDER = Path(os.environ["BUGSINK_FOLDER"])

SECRET_KEY = "of a test, on 127.0.0.1, that is over in a minute"
DATABASES["default"]["NAME"] = str(_FOLDER / "bugsink.sqlite3")
DATABASES["snappea"]["NAME"] = str(_FOLDER / "tasks.sqlite3")
SNAPPEA = {"TASK_ALWAYS_EAGER": True}
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
BUGSINK = {
    "SINGLE_USER": True,
    "SINGLE_TEAM": True,
    "PHONEHOME": False,
    "INGEST_STORE_BASE_DIR": str(_FOLDER / "ingestion"),
}
