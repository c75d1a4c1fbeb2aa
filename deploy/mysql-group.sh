#!/bin/bash
# Forms a group of the MySQL servers that are named as arguments, for docker-compose.yml. The first one
# founds it if no member is online yet. Run again it lets members join that are not online.
#
# FOR DEVELOPMENT ONLY: after a power cut the first server may not be the one with the newest writes.
set -euo pipefail

ask() { # server, statements...
    local server=$1
    shift
    mysql --host="$server" --user=root --batch --skip-column-names --execute="$*"
}

state() { # server
    ask "$1" "SELECT COALESCE(MAX(member_state), 'OFFLINE')
        FROM performance_schema.replication_group_members WHERE member_id = @@server_uuid"
}

prepare() { # server
    # What the image did at its first start is the same on all, and must not count as a difference.
    if [ "$(ask "$1" "SELECT COUNT(*) FROM mysql.user WHERE user = 'group'")" = 0 ]; then
        ask "$1" "SET SQL_LOG_BIN = 0;
            CREATE USER 'group'@'%' IDENTIFIED BY '$MYSQL_PWD';
            GRANT REPLICATION SLAVE, CONNECTION_ADMIN, BACKUP_ADMIN, GROUP_REPLICATION_STREAM
                ON *.* TO 'group'@'%';
            RESET BINARY LOGS AND GTIDS"
    fi
    ask "$1" "CHANGE REPLICATION SOURCE TO SOURCE_USER = 'group', SOURCE_PASSWORD = '$MYSQL_PWD'
        FOR CHANNEL 'group_replication_recovery'"
}

online=
for server in "$@"; do
    if [ "$(state "$server")" = ONLINE ]; then online=$server; fi
done
for server in "$@"; do
    if [ "$(state "$server")" = ONLINE ]; then continue; fi
    prepare "$server"
    if [ -z "$online" ]; then
        ask "$server" "SET GLOBAL group_replication_bootstrap_group = ON; START GROUP_REPLICATION;
            SET GLOBAL group_replication_bootstrap_group = OFF"
        online=$server
    else
        ask "$server" "START GROUP_REPLICATION"
    fi
    for ((waited = 0; waited < 60; waited++)); do
        if [ "$(state "$server")" = ONLINE ]; then break; fi
        sleep 1
    done
    echo "$server: $(state "$server")"
done
