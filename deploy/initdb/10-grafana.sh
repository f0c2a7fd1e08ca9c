#!/bin/sh
# Runs once, when the database is made: Grafana's login. The migration gives it the right to read the reports.
set -eu
psql --set=ON_ERROR_STOP=1 --set=password="$GRAFANA_DB_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
create role meantime_grafana login password :'password';
alter role meantime_grafana set default_transaction_read_only = on;
alter role meantime_grafana set statement_timeout = '30s';
SQL
