"""`fleet db generate`: begin the next migration. For whoever works on Fleet itself."""

import re
from pathlib import Path

import click

from fleet_lib import paths
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.store import migrate, schema_difference

_CHECKOUT = Path(paths.PROGRAM)


@click.command("generate")
@click.argument("name")
def generate(name: str) -> None:
    """Begin the next migration from what you changed in fleet_lib/store/schema.sql.

    For developers, in a checkout. Added tables, columns, indexes and triggers are written as SQL; what
    ALTER TABLE cannot do is left as a TODO that does not run.

    \b
    Examples:
      fleet db generate job_priorities
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,60}", name):
        raise BadInput(f"{name!r} is no name for a migration: small letters, digits and _")
    if not (_CHECKOUT / "pyproject.toml").exists():
        raise NotFound("this Fleet is an installed copy: run it in a checkout, .venv/bin/fleet")
    click.echo(write(_CHECKOUT / "fleet_lib" / "store", name))


def write(folder: Path, name: str) -> str:
    """Write the migration beside the others in `folder`, and say what comes next. Raises BadInput."""
    sql, todo = schema_difference.next_migration((folder / "schema.sql").read_text("utf-8"))
    if not sql:
        raise BadInput("schema.sql is what the migrations make: change it first, then run this")
    version = migrate.latest_version() + 1
    path = folder / "migrations" / f"{version:04}_{name}.sql"
    path.write_text(f"-- {name.replace('_', ' ')}: say here why.\n\n{sql}", "utf-8")
    lines = [f"{path} is written."]
    lines += [f"To do by hand: {line}" for line in todo]
    lines += [
        "",
        "Next: say in it why; in fleet_lib/prelude/database.py let SCHEMA_VERSION be"
        f" {version}; `make schema`; `make test`.",
    ]
    return "\n".join(lines)
