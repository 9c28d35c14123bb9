#!/bin/sh
# A dated backup: the database as it stands in one moment, then the files and the secret that opens the private keys.
# usage: PARVIS_CONFIG=/var/lib/parvis/parvis.toml deploy/backup.sh FOLDER [DATA_DIR]     (DATA_DIR default: /var/lib/parvis/var)
set -eu
[ $# -ge 1 ] || { echo "usage: backup.sh FOLDER [DATA_DIR]" >&2; exit 2; }
umask 077
folder=$1
data=${2:-/var/lib/parvis/var}
name=$folder/parvis-$(date -u +%Y%m%dT%H%M%SZ)
mkdir -p "$folder"
parvis db backup "$name.database"
# The database first: a file that is named in it is then in the archive too, or was deleted since.
tar -C "$data" --exclude='*.db' --exclude='*.db-wal' --exclude='*.db-shm' -cf "$name.files.tar.part" .
mv "$name.files.tar.part" "$name.files.tar"
echo "$name.database $name.files.tar"
