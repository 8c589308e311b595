"""A Flask service under waitress; a test copies it to `app.py`."""

from __future__ import annotations

import logging
import sys
import time

from flask import Flask, abort, request
from sqlalchemy import create_engine, text
from waitress import create_server

app = Flask(__name__)
engine = create_engine("sqlite:///bank.db")


@app.get("/api/accounts/<int:account_id>/balance")
def balance(account_id: int) -> dict[str, int]:
    time.sleep(float(request.args.get("wait_s", "0")))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT 1 AS balance"), {}).scalar()
    return {"balance": int(found or 0)}


@app.post("/api/payments/<reference>")
def pay(reference: str) -> str:
    card = request.get_json()["card"]
    raise RuntimeError(f"payment by {card} failed")


@app.get("/refused")
def refused() -> str:
    abort(503)


@app.get("/missing")
def missing() -> str:
    abort(404)


@app.get("/logged")
def logged() -> str:
    try:
        raise ValueError("no such account")
    except ValueError:
        logging.getLogger("bank").exception("cannot find the account")
    return "sorry"


@app.get("/failed")
def failed() -> tuple[str, int]:
    try:
        raise KeyError("no such card")
    except KeyError:
        logging.getLogger("bank").exception("cannot find the card")
    return "sorry", 500


if __name__ == "__main__":
    server = create_server(app, host="127.0.0.1", port=0)
    address = f"http://127.0.0.1:{server.effective_port}"
    sys.stderr.write(f"running on {address}\nApplication startup complete\n")
    server.run()
