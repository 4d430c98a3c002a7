"""Which documents are records of the past, as their paths say."""

import pytest

from fleet_lib.turn.living import code_folders, kind_of

LIVING = """
README.md
readme.rst
CLAUDE.md
AGENTS.md
CONTRIBUTING.md
ARCHITECTURE.md
docs/index.md
docs/architecture.md
docs/01-introduction.md
docs/02-setup.md
docs/tutorial/01-introduction.md
docs/tutorials/001-first-steps.md
content/lessons/010-loops.md
docs/guide/getting-started.md
docs/api/reference.rst
docs/releasing.md
docs/release-process.md
docs/planner.md
docs/plan-mode.md
docs/logging.md
docs/session-management.md
docs/special.md
docs/specification.md
docs/newsfeed.md
docs/historian.md
docs/archiving.md
docs/adrenaline.md
docs/auto-complete.md
docs/log.md
docs/status.md
docs/sha256.md
docs/x509.md
docs/oauth2.md
docs/esp32s3.md
docs/error-404.md
docs/iso-8601.md
docs/http-429.md
docs/guides/evolving-specs.md
docs/runbooks/incident-revocation.md
docs/cli-reference/audit.md
docs/commands/plan.md
docs/howtos/releases.md
docs/upgrading.md
MIGRATION.md
SUMMARY.md
.claude/commands/plan.md
.claude/commands/gsd/complete-milestone.md
.claude/agents/release-notes-writer.md
.claude/skills/retrospective/SKILL.md
.claude/skills/forge/references/phase2-analysis.md
.claude/rules/specs.md
.specify/templates/plan-template.md
prompts/summary.md
src/session/README.md
src/plan/README.md
packages/archive/README.md
packages/history/docs/usage.md
crates/changelog/README.md
web/src/news/README.md
internal/log/AGENTS.md
docs/部署.md
docs/größe.md
Docs/Overview.MD
"""

RECORDS = """
CHANGELOG.md
CHANGES.rst
CHANGELOG-1.x.md
HISTORY.md
NEWS.rst
RELEASES.md
RELEASE-NOTES.md
packages/ui/CHANGELOG.md
docs/reference/changelog.mdx
docs/whats_new.md
docs/whatsnew/v1.2.rst
docs/releases/v1.2.3.md
docs/v1.4.2.md
newsfragments/fix.md
.changeset/brave-lions-dance.md
changelog.d/auth.md
docs/adr/use-sqlite.md
docs/adr/0007-use-sqlite.md
docs/adr/README.md
docs/0007-use-sqlite.md
docs/ADR-012.md
docs/adr-3-queues.md
doc/arch/adr_0003.md
docs/architecture-decisions/queues.md
docs/architecture/decisions/queues.md
DECISIONS.md
docs/RFC-0042-refunds.md
docs/rfc0042.md
rfcs/text/2333-prior-art.md
docs/rfcs/refunds.md
docs/proposals/refunds.md
docs/012.md
docs/1234-refunds.md
docs/notes/PROJ-1234-add-login.md
docs/improve-auth-0042.md
PLAN.md
plan.md
docs/plans/refund.md
docs/plans/2025-03-01-refund.md
docs/exec-plans/active/refund.md
docs/implementation-plan.md
docs/IMPLEMENTATION_PLAN.md
docs/ImplementationPlan.md
.cursor/plans/refund.plan.md
.planning/phases/01-auth/01-RESEARCH.md
specs/001-login/spec.md
specs/001-login/quickstart.md
.kiro/specs/login/requirements.md
docs/superpowers/specs/login-design.md
SPEC.md
docs/login-spec.md
docs/prd.md
docs/PRD-refunds.md
ROADMAP.md
TODO.md
docs/todo.md
docs/backlog/first.md
docs/done.md
docs/done/first.md
tasks/completed/first.md
docs/archive/guide.md
docs/archived/guide.md
docs/_archive/guide.md
docs/old/guide.md
docs/deprecated/guide.md
docs/retrospectives/one.md
docs/retro.md
docs/sprint-12-retro.md
docs/meetings/one.md
docs/meeting-notes.md
docs/minutes/one.md
docs/postmortems/outage.md
docs/post-mortem-outage.md
docs/incidents/outage.md
docs/sessions/monday.md
docs/session-notes.md
docs/session-12.md
SESSION_SUMMARY.md
docs/journal/monday.md
docs/logs/monday.md
docs/devlog.md
docs/work-log.md
IMPLEMENTATION_SUMMARY.md
MIGRATION_COMPLETE.md
PHASE_1_COMPLETE.md
PERFORMANCE_ANALYSIS.md
SECURITY_AUDIT.md
docs/test-report.md
docs/reports/coverage.md
thoughts/shared/handoffs/one.md
docs/HANDOFF.md
docs/prompts/agent-teams/first.md
docs/android_phase2_prompt.md
docs/16-wave-1-engineering-backlog-by-repo.md
docs/21_EXECUTION_PLAN_AND_WORK_QUEUE.md
docs/phase-1/overview.md
docs/brainstorms/refunds.md
website/versioned_docs/version-1.0.0/intro.md
docs/v4.42.4/intro.md
node_modules/left-pad/README.md
web/node_modules/left-pad/README.md
vendor/github.com/x/y/README.md
third_party/zlib/README.md
third-party/zlib/docs/guide.md
Pods/Alamofire/README.md
tests/fixtures/repo/README.md
pkg/testdata/README.md
src/old/docs/plans/first.md
"""

DATED = """
2025-03-01-x.md
docs/2025-03-01-x.md
docs/2025_03_01.md
docs/2025.03.01-x.md
docs/20250301.md
docs/20250301T1200-x.md
docs/20250301120000_x.md
docs/x-2025-03-01.md
docs/2025-03-01/x.md
docs/2025/03/x.md
docs/2025/03/01/x.md
docs/2025-03.md
docs/x-2025-03.md
docs/01-03-2025-x.md
docs/250301-x.md
docs/2025-q1.md
docs/Q1-2025.md
docs/2025-w12.md
docs/march-2025.md
docs/goals-2025.md
"""

# Folders of code whose names would say something else of documents.
CODE = ["src/session/main.go", "src/plan/main.py", "packages/archive/index.ts", "app.py"]
CODE += ["crates/changelog/lib.rs", "web/src/news/page.tsx", "internal/log/log.go"]
# Neither of these makes its documents those of code.
CODE += ["docs/plans/diagram.svg", "specs/001-login/api.yaml"]


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (kind, path)
        for kind, paths in (("living", LIVING), ("record", RECORDS), ("dated", DATED))
        for path in paths.split("\n")
        if path
    ],
)
def test_kind_of_a_document_is_in_its_path(kind: str, path: str) -> None:
    assert kind_of(path, code_folders(CODE)) == kind


def test_folders_of_code_hold_it_directly() -> None:
    assert code_folders(["a/b/c.py", "a/x.md", "main.go", "d/e.yaml"]) == {"a/b", ""}
