#!/bin/sh
# Puts a backup made by backup.sh back; Parvis must be stopped.
# usage: PARVIS_CONFIG=/var/lib/parvis/parvis.toml deploy/restore.sh NAME [DATA_DIR]      (NAME without .database)
set -eu
[ $# -ge 1 ] || { echo "usage: restore.sh NAME [DATA_DIR]" >&2; exit 2; }
umask 077
name=$1
data=${2:-/var/lib/parvis/var}
for part in database files.tar; do
    [ -r "$name.$part" ] || { echo "restore.sh: $name.$part cannot be read." >&2; exit 1; }
done
mkdir -p "$data"
tar -C "$data" -xf "$name.files.tar"
parvis db restore "$name.database"
parvis db migrate
parvis doctor
