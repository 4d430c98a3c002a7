"""Power cuts: what a disk may hold after one, and whether Fleet keeps its promise on it."""

import json
import shutil

from torture.ground import PYTHON, ROOT, Broken, Ground
from torture.recording import MODES, Step, disk, record

_TURNS = 12

# Runs the hooks one after another, with pauses in which the drainer finishes. The prompt is also an
# argument, which no hook reads, so that the recording shows whose hook ended.
_LOAD = """
import json, os, subprocess, sys, time
for number, (prompt, payload) in enumerate(json.loads(sys.argv[1]).items()):
    command = [{python!r}, "-I", "-S", {hook!r}, prompt]
    subprocess.run(command, input=json.dumps(payload).encode(), stdout=subprocess.DEVNULL, check=True)
    if number % 4 == 3:
        time.sleep(1)
new = os.path.join(os.environ["FLEET_HOME"], "spool", "new")
for _ in range(300):
    if not os.listdir(new):
        break
    time.sleep(0.1)
"""


def power_loss(ground: Ground, size: int) -> str:
    """Record each write, sync and rename of some turns. For `size` random instants, make the four
    kinds of disk (see recording.py) that a power loss could leave: each can be read and drained,
    and has every turn that was acknowledged before."""
    if not shutil.which("strace"):
        return "not done: strace is not there"
    steps, ends = _record_turns(ground)
    instants = sorted(ground.random.sample(range(1, len(steps) + 1), min(size, len(steps))))
    disks = 0
    for instant in instants:
        kept = {("power", prompt) for at, prompt in ends.items() if at < instant}
        for mode in MODES:
            after = Ground(ground.folder / f"disk-{disks}", ground.seed)
            after.sent, after.kept = set(ground.sent), kept
            files, folders = disk(steps[:instant], ground.home, mode, ground.random)
            for name in sorted(folders):
                (after.home / name).mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (after.home / name).write_bytes(content)
            disks += 1
            try:
                after.drain()
                if kept or (after.home / "fleet.db").exists():
                    after.check()
            except Broken as error:
                raise Broken(f"after step {instant} of {len(steps)}, {mode}: {error}") from None
            shutil.rmtree(after.folder)
    return f"{disks} disks of {len(steps)} steps, {_TURNS} turns"


def _record_turns(ground: Ground) -> tuple[list[Step], dict[int, str]]:
    """(what was done to the disk, {step number: the prompt whose hook had exited 0 by then})."""
    folder = ground.project("p")
    payloads = {}
    for number in range(_TURNS):
        prompt = f"power-p{number}"
        ground.sent.add(("power", prompt))
        payloads[prompt] = {
            "hook_event_name": "Stop",
            "session_id": "power",
            "prompt_id": prompt,
            "cwd": str(folder),
            "last_assistant_message": f"Turn {number} is done. " + "word " * 2000,
        }
    load = ground.folder / "load.py"
    load.write_text(_LOAD.format(python=PYTHON, hook=str(ROOT / "hooks" / "stop.py")))
    environment = ground.environment(CLAUDE_PROJECT_DIR=str(folder))
    steps = record([PYTHON, str(load), json.dumps(payloads)], ground.home, environment)
    ends = {
        at: step.path.split()[-1]
        for at, step in enumerate(steps)
        if step.what == "exit" and "stop.py" in step.path
    }
    if len(ends) != _TURNS:
        raise Broken(f"{len(ends)} of {_TURNS} hooks were recorded")
    return steps, ends
