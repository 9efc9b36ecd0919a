#!/bin/sh
# The entry point of the MariaDB image: on the first run makes the database, users and tables that the official
# image's environment and /docker-entrypoint-initdb.d ask for, then serves. Nothing is synced to disk: tests only.
set -eu

data=/var/lib/mysql
socket=/run/mysqld/mysqld.sock
root_password=${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-}}
database=${MARIADB_DATABASE:-${MYSQL_DATABASE:-}}
user=${MARIADB_USER:-${MYSQL_USER:-}}
password=${MARIADB_PASSWORD:-${MYSQL_PASSWORD:-}}

serve() {
  exec mariadbd --no-defaults --user=root --datadir=$data --socket=$socket --skip-name-resolve \
    --innodb-flush-log-at-trx-commit=0 --innodb-flush-method=nosync "$@"
}
quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/[\\\\']/\\\\&/g")"; }
sql() { mariadb --no-defaults --user=root --socket=$socket "$@"; }

# printf, since this shell's echo reads backslashes its own way.
accounts() {
  [ -z "$database" ] || printf '%s\n' "CREATE DATABASE IF NOT EXISTS \`$database\`;"
  [ -z "$user" ] || printf '%s\n' "CREATE USER $(quoted "$user")@'%' IDENTIFIED BY $(quoted "$password");"
  [ -z "$user" ] || [ -z "$database" ] || printf '%s\n' "GRANT ALL ON \`$database\`.* TO $(quoted "$user")@'%';"
}

first_run() {
  mariadb-install-db --no-defaults --user=root --datadir=$data --auth-root-authentication-method=normal --skip-test-db >/dev/null
  (serve --skip-networking) &
  until sql --execute 'DO 1' 2>/dev/null; do sleep 0.1; done
  accounts | sql
  for script in /docker-entrypoint-initdb.d/*.sql; do
    [ ! -e "$script" ] || sql ${database:+"--database=$database"} <"$script"
  done
  sql --execute "CREATE USER root@'%' IDENTIFIED BY $(quoted "$root_password"); GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
    ALTER USER root@localhost IDENTIFIED BY $(quoted "$root_password"); SHUTDOWN"
  wait
}

mkdir -p $data "$(dirname $socket)"
[ -d $data/mysql ] || first_run
serve --bind-address=0.0.0.0 --port=3306
