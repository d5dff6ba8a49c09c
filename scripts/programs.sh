#!/bin/sh
# Installs what tests run against besides Python: programs.sh PACKAGE PROGRAM [PACKAGE PROGRAM]...
# Only as root on Debian, and only what is missing. Where that cannot be, the tests that need it
# are skipped and say so.
set -eu
missing=""
while [ $# -ge 2 ]; do
  command -v "$2" >/dev/null 2>&1 || missing="$missing $1"
  shift 2
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "not installed:$missing (tests that need it are skipped)"
  exit 0
fi
echo "installing:$missing"
# RUNLEVEL keeps a freshly installed server from being started.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
# shellcheck disable=SC2086 # a list of names
{ apt-get update && apt-get install --yes --no-install-recommends $missing; } >/dev/null 2>&1 ||
  echo "could not be installed:$missing (tests that need it are skipped)"
