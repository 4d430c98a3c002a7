"""`fleet db generate`: write the next migration. For developers of Fleet."""

import re
from pathlib import Path

import click

from commander.cli._display import say
from fleet_lib import paths
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.store import migrate, schema_difference

_CHECKOUT = Path(paths.PROGRAM)


@click.command("generate")
@click.argument("name")
def generate(name: str) -> None:
    """Write the next migration (for developers).

    It is made in a checkout from your changes in fleet_lib/store/schema.sql. Added tables, columns,
    indexes and triggers become SQL; what ALTER TABLE cannot do becomes a TODO that does not run.

    \b
    Examples:
      fleet db generate job_priorities
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,60}", name):
        raise BadInput(f"{name!r} is not a migration's name; use lower-case letters, digits and _")
    if not (_CHECKOUT / "pyproject.toml").exists():
        raise NotFound("this is an installed copy of Fleet; run `.venv/bin/fleet` in a checkout")
    say(write(_CHECKOUT / "fleet_lib" / "store", name))


def write(folder: Path, name: str) -> str:
    """Write the migration beside the others in `folder`. Returns the next steps. Raises
    BadInput."""
    sql, todo = schema_difference.next_migration((folder / "schema.sql").read_text("utf-8"))
    if not sql:
        raise BadInput("schema.sql has no changes; change it first, then run this again")
    version = migrate.latest_version() + 1
    path = folder / "migrations" / f"{version:04}_{name}.sql"
    path.write_text(f"-- {name.replace('_', ' ')}: say here why.\n\n{sql}", "utf-8")
    lines = [f"Wrote {path}."]
    lines += [f"To do by hand: {line}" for line in todo]
    lines += [
        "",
        "Next: say in it why it is needed, set SCHEMA_VERSION in fleet_lib/prelude/database.py to"
        f" {version}, then run `make schema` and `make test`.",
    ]
    return "\n".join(lines)
