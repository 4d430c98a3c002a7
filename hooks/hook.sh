# Runs one of Fleet's hooks. Sourced by the commands that Claude Code runs (`sh -c`), which set
# fleet_hook (the hook's name) and fleet_root (the folder that holds `hooks`); fleet_python is the
# interpreter to use, if it still works. Silent, and exit code 0, whatever is missing.
fleet_file=$fleet_root/hooks/$fleet_hook.py
[ -r "$fleet_file" ] || exit 0
# A child of this shell and not in its place: whatever becomes of it, its exit code is not the
# command's. Once the hook is running it ends in 0, so with any other code it has read nothing yet.
command -v "$fleet_python" >/dev/null 2>&1 && "$fleet_python" -I -S "$fleet_file" && exit 0
for fleet_python in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9; do
    "$fleet_python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' \
        </dev/null >/dev/null 2>&1 && "$fleet_python" -I -S "$fleet_file" && exit 0
done
exit 0
