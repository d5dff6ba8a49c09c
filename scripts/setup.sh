#!/bin/sh
# Makes the environment: setup.sh PYTHON VENV. Everything comes from requirements.lock, by hash.
# Debian ships Python without ensurepip unless python3-venv is there; then the system's own pip
# installs into the environment instead.
set -eu
python="$1"
venv="$2"

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Fillbook needs Python 3.11 or newer; $python is older (make PYTHON=python3.12)" >&2
  exit 1
}
echo "setting up $venv (once; it is reused until requirements.lock changes)"
if "$python" -m venv --clear "$venv" >/dev/null 2>&1; then
  pip="$venv/bin/python -m pip"
else
  "$python" -m venv --clear --without-pip "$venv"
  pip="$python -m pip --python $venv/bin/python"
fi
$pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
$pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
