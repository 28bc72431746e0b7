#!/bin/sh
# PostgreSQL with the variables of the official image that specs/microservices.yml uses.
set -eu
export PATH=/usr/lib/postgresql/15/bin:$PATH
data=/var/lib/postgresql/data
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$data" /run/postgresql
    chown -R postgres:postgres "$data" /run/postgresql
    chmod 700 "$data"
    password=$(cat "$POSTGRES_PASSWORD_FILE")
    export password
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$data/PG_VERSION" ]; then
    # Half-made by a start that was killed: begin again.
    rm -rf "${data:?}"/*
    initdb -D "$data" --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 >/dev/null
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
    postgres --single -D "$data" postgres >/dev/null <<SQL
CREATE ROLE $POSTGRES_USER SUPERUSER LOGIN PASSWORD '$password'
CREATE DATABASE $POSTGRES_DB OWNER $POSTGRES_USER
SQL
fi
exec postgres -D "$data" -c 'listen_addresses=*'
