"""Accounts and tokens, kept in PostgreSQL. Part of specs/microservices.yml.

PUT  /auth/accounts {"name", "password"}   makes an account
POST /auth/login    {"name", "password"}   gives {"token"}, good for an hour
GET  /auth/me       Authorization: Bearer  gives {"name"}, or 401
"""
import hashlib
import hmac
import os
import time

import psycopg2

from service import Problem, secret, serve

KEY = secret("token_key").encode()
LIFETIME = 3600  # seconds


def connect():
    return psycopg2.connect(
        host=os.environ["DB_HOST"], dbname="auth", user="auth", password=secret("auth_db_password"), connect_timeout=2
    )


def prepare():
    with connect() as db, db.cursor() as sql:
        sql.execute("CREATE TABLE IF NOT EXISTS accounts (name text PRIMARY KEY, salt bytea NOT NULL, hash bytea NOT NULL)")


def hashed(password, salt):
    return hashlib.scrypt(password.encode(), salt=salt, n=2**13, r=8, p=1)


def signed(text):
    return text + "." + hmac.new(KEY, text.encode(), "sha256").hexdigest()


def make(request):
    name, password = request.text("name"), request.text("password")
    salt = os.urandom(16)
    with connect() as db, db.cursor() as sql:
        sql.execute(
            "INSERT INTO accounts VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", (name, salt, hashed(password, salt))
        )
        if sql.rowcount == 0:
            raise Problem(409, "there is an account of this name")
    return {"name": name}


def login(request):
    name, password = request.text("name"), request.text("password")
    with connect() as db, db.cursor() as sql:
        sql.execute("SELECT salt, hash FROM accounts WHERE name = %s", (name,))
        row = sql.fetchone()
    # The same work and the same answer, whether there is such an account or not.
    salt, known = (bytes(row[0]), bytes(row[1])) if row else (b"0" * 16, b"")
    if not hmac.compare_digest(hashed(password, salt), known):
        raise Problem(401, "name or password is wrong")
    return {"token": signed(f"{name}.{int(time.time()) + LIFETIME}")}


def me(request):
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    text = token.rpartition(".")[0]
    name, _, until = text.rpartition(".")
    if not hmac.compare_digest(signed(text), token) or not until.isdigit() or int(until) < time.time():
        raise Problem(401, "no valid token")
    return {"name": name}


serve(prepare, {("PUT", "/auth/accounts"): make, ("POST", "/auth/login"): login, ("GET", "/auth/me"): me})
