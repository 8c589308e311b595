"""A Django service under waitress, with its settings; a test copies it to `app.py`."""

from __future__ import annotations

import json
import logging
import sys
import time

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from sqlalchemy import create_engine, text

SECRET_KEY = "not a secret of anything"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "app"
MIDDLEWARE: list[str] = []
engine = create_engine("sqlite:///bank.db")


def balance(request: HttpRequest, account_id: int) -> HttpResponse:
    time.sleep(float(request.GET.get("wait_s", "0")))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT 1 AS balance"), {}).scalar()
    return JsonResponse({"balance": found})


def pay(request: HttpRequest, reference: str) -> HttpResponse:
    card = json.loads(request.body)["card"]
    raise RuntimeError(f"payment by {card} failed")


def refused(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=503)


def logged(request: HttpRequest) -> HttpResponse:
    try:
        raise ValueError("no such account")
    except ValueError:
        logging.getLogger("bank").exception("cannot find the account")
    return HttpResponse("sorry")


def failed(request: HttpRequest) -> HttpResponse:
    try:
        raise KeyError("no such card")
    except KeyError:
        logging.getLogger("bank").exception("cannot find the card")
    return HttpResponse("sorry", status=500)


urlpatterns = [
    path("api/accounts/<int:account_id>/balance", balance),
    path("api/payments/<str:reference>", pay),
    path("refused", refused),
    path("logged", logged),
    path("failed", failed),
]


if __name__ == "__main__":
    from django.core.wsgi import get_wsgi_application
    from waitress import create_server

    server = create_server(get_wsgi_application(), host="127.0.0.1", port=0)
    address = f"http://127.0.0.1:{server.effective_port}"
    sys.stderr.write(f"running on {address}\nApplication startup complete\n")
    server.run()
