"""One `claude` as a child process: its prompt on stdin, its lines, its end. Knows no job and no database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from fleet_lib import processes
from fleet_lib.processes import ProcessName

GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
LINE_LIMIT = 4_000_000  # bytes
_STDERR_KEPT = 4000  # bytes
_POLL_SECONDS = 0.05
_LEFTOVER_SECONDS = 2.0  # that a closed process's streams may stay open


class Child:
    """Started, and doing nothing until it gets its prompt."""

    def __init__(self, process: asyncio.subprocess.Process, name: ProcessName) -> None:
        self._process = process
        self.name = name
        self._stderr = b""
        self._stderr_reader = asyncio.create_task(self._read_stderr())

    @classmethod
    async def start(
        cls, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> "Child":
        """In a process group of its own. Raises OSError."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
        )
        name = processes.name_of(process.pid) or ProcessName(process.pid, 0.0)
        return cls(process, name)

    async def give(self, prompt: str) -> None:
        """Write the prompt and close stdin; a child that hangs up first has its reasons on stderr."""
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError):
            stdin.write(prompt.encode("utf-8", "replace"))
            await stdin.drain()
        with contextlib.suppress(OSError):
            stdin.close()

    async def lines(self) -> AsyncIterator[bytes]:
        """Its lines without their ends, until it has closed its output or ended. Of one over LINE_LIMIT
        only the beginning is kept, which is no JSON then."""
        stdout = self._process.stdout
        assert stdout is not None
        ended = asyncio.create_task(self._ended())
        line = bytearray()
        try:
            while True:
                part = await self._read(stdout, ended)
                *whole, rest = part.split(b"\n")
                for piece in whole:
                    line += piece[: LINE_LIMIT - len(line)]
                    yield bytes(line)
                    line.clear()
                line += rest[: LINE_LIMIT - len(line)]
                if not part:
                    break
        finally:
            ended.cancel()
        if line:
            yield bytes(line)

    async def _read(self, stdout: asyncio.StreamReader, ended: "asyncio.Task[int]") -> bytes:
        """The next bytes, b"" at the end. What it started may hold its output open after it."""
        reading = asyncio.ensure_future(stdout.read(1 << 16))
        await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
        with contextlib.suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(reading, _LEFTOVER_SECONDS if ended.done() else None)
        return b""

    async def wait(self) -> int:
        """Its exit code, once it has ended; nothing of its group is left then."""
        code = await self._ended()
        processes.end_group(self.name.pid)
        return code

    async def _ended(self) -> int:
        # asyncio's own wait may last until whoever inherited its streams has closed them.
        while self._process.returncode is None:
            await asyncio.sleep(_POLL_SECONDS)
        return self._process.returncode

    async def end(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """SIGTERM, and SIGKILL to whatever is left after the grace."""
        await asyncio.to_thread(processes.end, self.name, grace_seconds)

    def close(self) -> None:
        """Read no more of it: what it started may hold its stderr open for as long as it likes."""
        self._stderr_reader.cancel()

    async def complaint(self) -> str:
        """The end of what it wrote to stderr."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stderr_reader, _LEFTOVER_SECONDS)
        return self._stderr.decode("utf-8", "replace").strip()

    async def _read_stderr(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        while part := await stderr.read(1 << 16):
            self._stderr = (self._stderr + part)[-_STDERR_KEPT:]
