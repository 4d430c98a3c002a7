"""The drainer's process: `python -I [-S] drain.py FLEET_HOME [--once] [--now]`, detached by hooks.
It lingers (linger.py), but not with `--once`. With `--now` it also tries what is put off.

Standard library only until the lock is held and an entry waits: a start that finds another drainer
running, or nothing to do, must cost next to nothing. What a drainer does is in drainer.py.
"""

import _signal
import fcntl
import os
import sys

# Exit codes: the spool is empty; another drainer is running; the database cannot be used now, and
# the entries are still in the spool.
DONE, BUSY, UNUSABLE = 0, 75, 74


def main(home: str, is_forced: bool = False, lingers: bool = False) -> int:
    _detach()
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    _find_environment(root)
    try:
        lock = os.open(os.path.join(home, "spool", "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return DONE  # no spool: nothing was ever captured
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return BUSY
        except OSError as error:
            return _without_locks(root, home, error)
        code = DONE
        successors: list[tuple[str, str]] = []
        if _has_work(home):
            code, successors = _work(home, root, lock, is_forced, lingers)
        if successors:
            from fleet_lib import wake

            for place, program in successors:
                wake.wake_drainer(place, program)
            return code
        if code == UNUSABLE:
            return code
        fcntl.flock(lock, fcntl.LOCK_UN)
        # An entry may have come after the last look and before the release. The drainer started for
        # it found the lock held and ended, so this one looks once more.
        is_forced = False
        if not _has_entries(home):
            break
    if sys.prefix == os.path.join(os.environ.get("CLAUDE_PLUGIN_DATA", ""), "venv"):
        _make_environment(root, home)  # ends at once unless the plugin was updated
    return DONE


def _work(
    home: str, root: str, lock: int, is_forced: bool, lingers: bool
) -> "tuple[int, list[tuple[str, str]]]":
    """Apply the spool, and what comes while the drainer lingers; (DONE or UNUSABLE, the homes that
    are to be drained by another drainer now, each with its program)."""
    if root not in sys.path:
        sys.path.insert(0, root)
    import gc

    # What is imported stays: the collector need not look at it, here or in the reader, where it would
    # copy every page.
    gc.disable()
    try:
        if sys.flags.no_site:  # as hooks start it
            from fleet_lib.drain import bundle

            bundle.use()
        from fleet_lib import held
        from fleet_lib.drain import linger

        held.name(lock, "starting")
        bell = linger.Bell(home, root, lingers)
        _require_libraries()
        from fleet_lib.drain import drainer, put_off, reader
    except Exception as error:
        # Python is too old or lacks Fleet's libraries: a new plugin, or a bare checkout.
        fcntl.flock(lock, fcntl.LOCK_UN)
        _make_environment(root, "--again", home)
        from fleet_lib import log

        log.write(
            home,
            "drain",
            f"{sys.executable} cannot drain: {error}; the entries wait in the spool",
        )
        return UNUSABLE, []
    gc.freeze()
    gc.enable()
    reading = reader.Reader(home) if bell.lingers else None

    def say(doing: str) -> None:
        held.say(lock, doing)

    is_first = True
    try:
        while True:
            usable = drainer.drain(
                home, say, is_forced=is_forced, reader=reading, is_first=is_first
            )
            is_forced = is_first = False
            if not usable:  # perhaps because a newer program has migrated the database
                return UNUSABLE, bell.successors() if bell.is_called_by_other() else []
            say(held.IDLE)
            if not bell.wait(lambda: put_off.waiting(home)):
                return DONE, bell.successors()
            if not bell.is_same():
                return DONE, bell.successors()
    finally:
        bell.close()  # before the lock is released: from now on a hook starts a drainer
        held.release(lock)


def _detach() -> None:
    for number in (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT):
        if _signal.getsignal(number) == _signal.SIG_IGN:  # from the hook that started it
            _signal.signal(number, _signal.SIG_DFL)
    try:
        os.setsid()
    except PermissionError:
        pass  # it leads a session already
    os.chdir("/")
    os.umask(0o077)
    os.closerange(3, 1024)  # descriptors inherited from Claude Code must not stay open


def _find_environment(root: str) -> None:
    """Do what the drainer needs of `site`, without which hooks start it (`-S`): that takes half as
    long as starting Python, and longer in an environment with many packages."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(sys.executable)))
    if sys.flags.no_site and os.path.exists(os.path.join(folder, "pyvenv.cfg")):
        sys.prefix = sys.exec_prefix = folder
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        # After Python's own library, which is where most is: each folder before it costs a look.
        sys.path += [root, os.path.join(folder, "lib", version, "site-packages")]


def _has_work(home: str) -> bool:
    """Whether anything waits, without an import: an entry, one that its writer left in `tmp/`, or
    what is put off."""
    spool = os.path.join(home, "spool")
    try:
        if os.listdir(os.path.join(spool, "new")) or os.path.exists(f"{spool}/put-off"):
            return True
        return any(name[:1].isdecimal() for name in os.listdir(os.path.join(spool, "tmp")))
    except OSError:
        return True  # the drainer says what is wrong


def _has_entries(home: str) -> bool:
    """Whether an entry waits that can be applied now."""
    put_off = sys.modules.get("fleet_lib.drain.put_off")
    if put_off:
        return bool(put_off.waiting(home))
    try:
        return bool(os.listdir(os.path.join(home, "spool", "new")))
    except OSError:
        return False


def _require_libraries() -> None:
    """Raises ImportError without Fleet's libraries. An ordinary turn imports none of them, but the
    one that needs them must not be the first to miss them: it would be quarantined."""
    finder = sys.modules["_frozen_importlib_external"].PathFinder  # importlib.machinery's
    names = ("pydantic", "yaml", "markdown_it")
    if sys.flags.no_site and not all(map(finder.find_spec, names)):
        import site

        site.main()  # they lie where only it finds them
    for name in names:
        if finder.find_spec(name) is None:
            raise ImportError(f"No module named {name!r}")


def _make_environment(root: str, *arguments: str) -> None:
    """In a plugin: continue as the program that creates or updates the environment."""
    if os.environ.get("CLAUDE_PLUGIN_DATA"):
        script = os.path.join(root, "commander", "setup", "plugin.py")
        os.execv(sys.executable, [sys.executable, "-I", script, *arguments])  # noqa: S606


def _without_locks(root: str, home: str, error: OSError) -> int:
    """The home's file system cannot lock files: two drainers could write at once, so none does."""
    sys.path.insert(0, root)
    from fleet_lib import log

    log.write_once(
        home,
        "drain",
        f"the file system of {home} has no working locks ({error.strerror}), so the database cannot"
        " be written safely; the entries wait in the spool",
    )
    return UNUSABLE


if __name__ == "__main__":
    # Everything is written and closed: taking the interpreter down would cost 15 ms more.
    options = sys.argv[2:]
    os._exit(main(os.path.abspath(sys.argv[1]), "--now" in options, "--once" not in options))
