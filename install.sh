#!/bin/sh
# Installs Fleet for Claude Code, upgrades it or uninstalls it: ./install.sh --help
# This only finds a Python that can run commander/setup/install.py, which does the work.
set -eu
umask 077
source_dir=$(cd "$(dirname "$0")" && pwd)
for candidate in python3.14 python3.13 python3.12 python3.11 python3; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    exec "$candidate" -I "$source_dir/commander/setup/install.py" "$@"
  fi
done
printf 'install.sh: Fleet needs Python 3.11 or later, but %s was found. %s\n' \
  "$(python3 --version 2>/dev/null || echo 'no python3')" 'Install it and run this again.' >&2
exit 1
