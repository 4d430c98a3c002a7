"""One `claude` as a child process: its prompt on stdin, the lines of its output, its end. Nothing
here knows about jobs or the database."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from fleet_lib import processes
from fleet_lib.processes import ProcessName

_WATCHER = str(Path(__file__).with_name("watch.py"))
GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
LINE_LIMIT = 4_000_000  # bytes
_STDERR_KEPT = 4000  # bytes
_POLL_SECONDS = 0.05
_LEFTOVER_SECONDS = 2.0  # how long the streams of an ended process may stay open


class Child:
    """A started process, which does nothing until it gets its prompt."""

    def __init__(
        self, process: asyncio.subprocess.Process, name: ProcessName, lifeline: int
    ) -> None:
        self._process = process
        self.name = name
        self._lifeline = lifeline  # while this process holds it, the child may live
        self._stderr = b""
        self._stderr_reader = asyncio.create_task(self._read_stderr())

    @classmethod
    async def start(
        cls, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> "Child":
        """Start it in a process group of its own, under a watcher that ends it if this process is
        killed. Raises OSError."""
        watched, lifeline = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", _WATCHER, str(watched), *command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
                pass_fds=(watched,),
            )
        except OSError:
            os.close(lifeline)
            raise
        finally:
            os.close(watched)
        name = processes.name_of(process.pid) or ProcessName(process.pid, 0.0)
        return cls(process, name, lifeline)

    async def send_prompt(self, prompt: str) -> None:
        """Write the prompt and close stdin. A child that closes it first says why on stderr."""
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError):
            stdin.write(prompt.encode("utf-8", "replace"))
            await stdin.drain()
        with contextlib.suppress(OSError):
            stdin.close()

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines of its output without line ends, until it closes its output or ends. A line
        over LINE_LIMIT is cut, which makes it invalid JSON."""
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
        """The next bytes, b"" at the end. Its own children may hold its output open after that."""
        reading = asyncio.ensure_future(stdout.read(1 << 16))
        await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
        with contextlib.suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(reading, _LEFTOVER_SECONDS if ended.done() else None)
        return b""

    async def wait(self) -> int:
        """Wait for its end, kill what is left of its process group, and return the exit code."""
        code = await self._ended()
        processes.end_group(self.name.pid)
        return code

    async def _ended(self) -> int:
        # asyncio's own wait lasts until every process that inherited the streams has ended.
        while self._process.returncode is None:
            await asyncio.sleep(_POLL_SECONDS)
        return self._process.returncode

    async def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """SIGTERM, and after the grace period SIGKILL to its group and all descendants."""
        await asyncio.to_thread(processes.end, self.name, grace_seconds)

    def close(self) -> None:
        """Stop reading: processes that it started may hold its stderr open for any time."""
        self._stderr_reader.cancel()
        os.close(self._lifeline)

    async def stderr_tail(self) -> str:
        """The last 4,000 bytes that it wrote to stderr."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stderr_reader, _LEFTOVER_SECONDS)
        return self._stderr.decode("utf-8", "replace").strip()

    async def _read_stderr(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        while part := await stderr.read(1 << 16):
            whole = self._stderr + part
            self._stderr = whole[-_STDERR_KEPT:]
            if len(whole) > _STDERR_KEPT:
                # Half a word may be half a token, which is not recognized as one.
                self._stderr = self._stderr.partition(b"\n")[2] or self._stderr
