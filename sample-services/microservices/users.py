"""Profiles of users, kept in MariaDB; who asks is checked with the auth service. Part of specs/microservices.yml.

GET /users               every profile
PUT /users/me {"email"}  Authorization: Bearer: writes the profile of whoever the token belongs to
"""
import json
import os
import urllib.error
import urllib.request

import pymysql

from service import Problem, secret, serve


def connect():
    return pymysql.connect(
        host=os.environ["DB_HOST"],
        database="users",
        user="users",
        password=secret("users_db_password"),
        connect_timeout=2,
        autocommit=True,
    )


def prepare():
    with connect() as db, db.cursor() as sql:
        sql.execute("CREATE TABLE IF NOT EXISTS profiles (name VARCHAR(100) PRIMARY KEY, email VARCHAR(200) NOT NULL)")


def whose(request):
    """The name that the request's token belongs to, by the auth service."""
    ask = urllib.request.Request(
        os.environ["AUTH"] + "/auth/me", headers={"Authorization": request.headers.get("Authorization", "")}
    )
    try:
        with urllib.request.urlopen(ask, timeout=2) as answer:
            return json.load(answer)["name"]
    except urllib.error.HTTPError as error:
        raise Problem(error.code, "the auth service says no") from error
    except OSError as error:
        raise Problem(503, f"the auth service does not answer: {error}") from error


def all_of_them(_request):
    with connect() as db, db.cursor() as sql:
        sql.execute("SELECT name, email FROM profiles ORDER BY name")
        return [{"name": name, "email": email} for name, email in sql.fetchall()]


def write(request):
    name, email = whose(request), request.text("email")
    with connect() as db, db.cursor() as sql:
        sql.execute("REPLACE INTO profiles VALUES (%s, %s)", (name, email))
    return {"name": name, "email": email}


serve(prepare, {("GET", "/users"): all_of_them, ("PUT", "/users/me"): write})
