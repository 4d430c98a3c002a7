"""The page's view library: files of npm packages at fixed versions, which are kept beside the page
and served by the gateway. `make vendor` fetches them again: raise a version in PACKAGES first, and
look at what changed.

A browser has no packages, and an import map would be an inline script. So the names that the files
import from each other are replaced by their addresses; nothing else is changed."""

import hashlib
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent / "static" / "vendor"
RECORD = FOLDER / "vendored.json"  # {file: {package, version, from, sha256}}


class Module(NamedTuple):
    file: str  # in FOLDER
    package: str
    path: str  # in the package
    name: str  # by which other modules import it


PACKAGES = {
    "preact": "11.2.0",
    "htm": "3.1.1",
    "@preact/signals": "2.11.4",
    "@preact/signals-core": "1.14.5",
}
MODULES = (
    Module("preact.js", "preact", "dist/preact.mjs", "preact"),
    Module("hooks.js", "preact", "hooks/dist/hooks.mjs", "preact/hooks"),
    Module("htm.js", "htm", "dist/htm.mjs", "htm"),
    Module("signals.js", "@preact/signals", "dist/signals.mjs", "@preact/signals"),
    Module(
        "signals-core.js", "@preact/signals-core", "dist/signals-core.mjs", "@preact/signals-core"
    ),
)


def renew() -> None:
    """Fetch the packages with npm, and write the files, their licences and the record."""
    FOLDER.mkdir(exist_ok=True)
    record = {}
    with tempfile.TemporaryDirectory() as folder:
        wanted = [f"{name}@{version}" for name, version in PACKAGES.items()]
        npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts"]
        subprocess.run([*npm, "--prefix", folder, *wanted], check=True)
        packages = Path(folder) / "node_modules"
        for module in MODULES:
            text = for_a_browser((packages / module.package / module.path).read_text("utf-8"))
            record[module.file] = written(module.file, text, module.package, module.path)
        for package in PACKAGES:
            name = f"LICENSE.{package.strip('@').replace('/', '-')}.txt"
            text = (packages / package / "LICENSE").read_text("utf-8")
            record[name] = written(name, text, package, "LICENSE")
    RECORD.write_text(json.dumps(record, indent=2) + "\n", "utf-8")


def for_a_browser(text: str) -> str:
    """The module with addresses for names, and without the address of a source map that is not
    here."""
    for module in MODULES:
        text = re.sub(rf'(\bfrom ?)"{re.escape(module.name)}"', rf'\1"./{module.file}"', text)
    return re.sub(r"\n?//# sourceMappingURL=.*", "", text).rstrip() + "\n"


def written(name: str, text: str, package: str, path: str) -> dict[str, str]:
    (FOLDER / name).write_text(text, "utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"package": package, "version": PACKAGES[package], "from": path, "sha256": digest}


if __name__ == "__main__":
    renew()
