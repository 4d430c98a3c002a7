# Runs one of Fleet's hooks. Sourced by the commands that Claude Code runs (`sh -c`), which set
# fleet_hook (the hook's name) and fleet_root (the folder that holds `hooks`); fleet_python is the
# interpreter to use, if it is still there. Silent, and exit code 0, whatever is missing.
fleet_file=$fleet_root/hooks/$fleet_hook.py
[ -r "$fleet_file" ] || exit 0
if ! command -v "$fleet_python" >/dev/null 2>&1; then
    for fleet_python in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 /; do
        "$fleet_python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' \
            </dev/null >/dev/null 2>&1 && break
    done
    [ "$fleet_python" = / ] && exit 0
fi
case $fleet_hook in
session_start | user_prompt_submit)
    # A hook that prints is a child of this shell: its exit code is not the command's.
    "$fleet_python" -I -S "$fleet_file"
    exit 0
    ;;
esac
# In the shell's place: a child costs a tenth of the hook.
exec "$fleet_python" -I -S "$fleet_file"
