#!/bin/sh
# Installs Fleet into Claude Code's folder: a virtual environment, the hooks in settings.json, the
# Commander's folder; and ends by running the main job on a sample. Run it again to upgrade; --uninstall
# takes the hooks out. Safe to interrupt: the new version is built aside and put in place in one step.
set -eu

usage() {
  cat <<USAGE
usage: ./install.sh [--claude-dir DIR] [--fleet-home DIR] [--uninstall]

  --claude-dir DIR   Claude Code's folder      (default: \$CLAUDE_CONFIG_DIR, else ~/.claude)
  --fleet-home DIR   where Fleet keeps its data (default: \$FLEET_HOME, else DIR/commander)
  --uninstall        take Fleet's hooks out of the settings; the data stays
USAGE
}

fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

claude_dir=${CLAUDE_CONFIG_DIR:-$HOME/.claude}
fleet_home=${FLEET_HOME:-}
uninstall=
while [ $# -gt 0 ]; do
  case $1 in
    --claude-dir | --fleet-home)
      [ $# -gt 1 ] || fail "$1 needs a folder"
      if [ "$1" = --claude-dir ]; then claude_dir=$2; else fleet_home=$2; fi
      shift 2
      ;;
    --uninstall) uninstall=--uninstall; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
fleet_home=${fleet_home:-$claude_dir/commander}
source_dir=$(cd "$(dirname "$0")" && pwd)

python=
for candidate in python3.13 python3.12 python3.11 python3; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$(command -v "$candidate")
    break
  fi
done
[ -n "$python" ] || fail "Fleet needs Python 3.11 or later; \
$(python3 --version 2>/dev/null || echo 'no python3') was found. Install one, then run this again."

[ -n "$claude_dir" ] || fail "--claude-dir needs a folder"
umask 077
if [ -n "$uninstall" ]; then
  [ -x "$fleet_home/venv/bin/python" ] || fail "there is no Fleet in $fleet_home; was it installed \
with another --fleet-home?"
else
  mkdir -p "$fleet_home/versions" "$fleet_home/bin"
fi
FLEET_HOME=$(cd "$fleet_home" && pwd)
export FLEET_HOME
if [ -n "$uninstall" ]; then
  exec "$FLEET_HOME/venv/bin/python" -I -m commander.install --claude-dir "$claude_dir" --uninstall
fi

new=$FLEET_HOME/versions/$(date -u +%Y%m%dT%H%M%SZ)-$$
printf 'Installing Fleet into %s with %s ...\n' "$FLEET_HOME" "$("$python" --version)"
if command -v uv >/dev/null 2>&1; then
  uv venv --quiet --python "$python" "$new"
  uv pip install --quiet --python "$new/bin/python" --compile-bytecode "$source_dir"
else
  "$python" -m venv "$new" || fail "could not make a virtual environment (on Debian: python3-venv)"
  "$new/bin/python" -m pip install --quiet --disable-pip-version-check "$source_dir"
fi
site=$("$new/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf %s "$FLEET_HOME" >"$site/fleet-home.txt"
# One path to the hooks, whatever the Python version: settings and running sessions hold it.
ln -s "${site#"$new"/}" "$new/app"

# The switch is one rename. The version before stays for hooks that run this moment, older ones go.
"$python" - "$FLEET_HOME" "$new" <<'SWITCH'
import os, shutil, sys, time
home, new = sys.argv[1:]
link, aside = os.path.join(home, "venv"), os.path.join(home, "versions", "venv.new")
before = os.path.realpath(link) if os.path.islink(link) else None
if os.path.lexists(aside):
    os.unlink(aside)
os.symlink(os.path.relpath(new, home), aside)
if before is None and os.path.isdir(link):
    os.rename(link, os.path.join(home, "versions", "venv.before"))
os.replace(aside, link)
for name in os.listdir(os.path.join(home, "versions")):
    path = os.path.join(home, "versions", name)
    # A young one may be another install.sh at work.
    young = time.time() - os.lstat(path).st_mtime < 900
    if os.path.realpath(path) not in (os.path.realpath(new), before) and not young:
        shutil.rmtree(path, ignore_errors=True)
SWITCH
ln -sf ../venv/bin/fleet "$FLEET_HOME/bin/fleet"

exec "$FLEET_HOME/venv/bin/python" -I -m commander.install --claude-dir "$claude_dir"
