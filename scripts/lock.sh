#!/bin/sh
# Pins the newest releases of all runtime and development dependencies into requirements.lock,
# with hashes. Package indexes and their options are a matter of the machine, so none is written.
set -eu
tools="$(mktemp -d)"
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
"$tools/bin/python" -m pip install --quiet pip-tools
"$tools/bin/pip-compile" --quiet --upgrade --all-extras --all-build-deps --allow-unsafe --generate-hashes \
  --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
  --no-emit-trusted-host --output-file requirements.lock pyproject.toml 2>"$tools/log" || {
  cat "$tools/log" >&2
  exit 1
}
