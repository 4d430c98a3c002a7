"""`os` for a hook: to import that module takes a tenth of a bare interpreter, nearly all of it for
classes that no hook needs. A hook gets the system's calls from `posix`, where `os` has them from,
with the few functions below; what is not here it takes from `os`. In a process that has imported
`os` already it is `os` itself. Hot path."""

import sys

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING or "os" in sys.modules:
    import os as os  # others take it from here
else:
    import posix

    _ENCODING = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()

    def _whole_os():
        """The module, for what a hook seldom asks for."""
        import os as whole

        return whole

    class _Path:
        """What a hook needs of os.path, for texts alone. A test compares the two."""

        def join(self, path, *others):
            for other in others:
                if other.startswith("/") or not path:
                    path = other
                else:
                    path += other if path.endswith("/") else "/" + other
            return path

        def dirname(self, path):
            head = path[: path.rfind("/") + 1]
            return head.rstrip("/") or head

        def basename(self, path):
            return path[path.rfind("/") + 1 :]

        def normpath(self, path):
            slashes = len(path) - len(path.lstrip("/"))
            root = "//" if slashes == 2 else "/" if slashes else ""  # two are kept, as POSIX says
            parts = []
            for part in path.split("/"):
                if part == ".." and parts and parts[-1] != "..":
                    parts.pop()
                elif part not in ("", ".") and (part != ".." or not root):
                    parts.append(part)
            return root + "/".join(parts) or "."

        def abspath(self, path):
            return self.normpath(path if path.startswith("/") else f"{posix.getcwd()}/{path}")

        def expanduser(self, path):
            user, slash, rest = path.partition("/")
            if user == "~" and "HOME" in os.environ:
                return os.environ["HOME"].rstrip("/") + slash + rest or "/"
            return _whole_os().path.expanduser(path) if path.startswith("~") else path

        def exists(self, path):
            try:
                posix.stat(path)
            except (OSError, ValueError):
                return False
            return True

        def isdir(self, path):
            try:
                return posix.stat(path).st_mode & 0o170000 == 0o040000
            except (OSError, ValueError):
                return False

        def samefile(self, one, other):
            first, second = posix.stat(one), posix.stat(other)
            return (first.st_ino, first.st_dev) == (second.st_ino, second.st_dev)

        def __getattr__(self, name):
            return getattr(_whole_os().path, name)

    class _Os:
        """The names of posix, and those of os that are not there."""

        def __init__(self):
            self.__dict__.update(posix.__dict__)
            self.path = _Path()
            self.devnull = "/dev/null"
            self.environ = {
                name.decode(*_ENCODING): value.decode(*_ENCODING)
                for name, value in posix.environ.items()
            }

        def fsencode(self, text):
            return text.encode(*_ENCODING)

        def __getattr__(self, name):
            return getattr(_whole_os(), name)

    os = _Os()
