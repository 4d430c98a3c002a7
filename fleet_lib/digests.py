"""SHA-256 and BLAKE2, without the import of OpenSSL that `hashlib` begins with: it takes a fifth of what
starting Python does. For a few short texts; more of them are faster with OpenSSL."""

from __future__ import annotations

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from hashlib import blake2b, sha256
else:
    try:
        from _blake2 import blake2b

        try:
            from _sha2 import sha256
        except ImportError:  # before Python 3.12
            from _sha256 import sha256
    except ImportError:  # built without its own, or another Python
        from hashlib import blake2b, sha256

__all__ = ["blake2b", "sha256"]
