"""A primary, its synchronous standby and a proxy before each for every process of the service, so
that a chaos run on PostgreSQL can harm the servers and the way to them."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from signal import SIGCONT, SIGSTOP

from tests.between import Between
from tests.chaos.disk import Disk, small_disk
from tests.chaos.holders import ASKED, LOOK_EVERY_S, Holders
from tests.chaos.plan import Action
from tests.chaos.witness import Problems
from tests.crash.harness import free_port
from tests.postgres import Server

PLACES = 2
ROOM_BYTES = 256 << 20
"""More than a phase writes, and than the server's own log of what it wrote may grow by."""
OPTIONS = ("max_wal_size=128MB", "min_wal_size=32MB")
UP_S = 60.0


class Cluster:
    """Two places for a server; whichever *leads* takes writes, the other one follows it.

    The server in a place may be another one than before, on another port and an empty disk: the
    proxies before the place, which is what the *clients* know, stay.
    """

    def __init__(self, clients: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="postbell-chaos-servers-"))
        self._folder.chmod(0o755)  # the server is another user where this one is root
        self._disks: list[Disk | None] = [None] * PLACES
        self._leads = 0
        self.servers: list[Server] = []
        for place in range(PLACES):
            self.servers.append(self._made(place))
        self._follow()
        self.database = self.primary.database()
        self.ways = [[Between(each.port) for each in self.servers] for _ in range(clients)]
        for way in (way for ways in self.ways for way in ways):
            way.port = free_port()
        self.problems = Problems()
        self._is_mending = asyncio.Lock()

    @property
    def title(self) -> str:
        assert self._disks[0]
        return f"PostgreSQL {self.primary.version} twice, {self._disks[0].title}"

    @property
    def primary(self) -> Server:
        return self.servers[self._leads]

    @property
    def standby(self) -> Server:
        return self.servers[1 - self._leads]

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Let the proxies take connections inside the block."""
        async with contextlib.AsyncExitStack() as stack:
            for ways in self.ways:
                for way in ways:
                    await stack.enter_async_context(way.listening())
            yield

    def url(self, client: int) -> str:
        """Return the URL by which one process finds whichever server takes writes."""
        places = ",".join(f"127.0.0.1:{way.port}" for way in self.ways[client])
        return f"postgresql://postbell@{places}/{self.database}?target_session_attrs=read-write"

    @contextlib.asynccontextmanager
    async def watching(self, holders: Holders) -> AsyncIterator[None]:
        """Look who holds what, whenever a server answers, as long as the block goes on."""
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._watch(holders))
            try:
                yield
            finally:
                looking.cancel()

    async def _watch(self, holders: Holders) -> None:
        while True:
            with contextlib.suppress(AssertionError):  # it is gone, or just coming
                rows = await asyncio.to_thread(self.primary.psql, ASKED, self.database)
                holders.seen(rows.split())
            await asyncio.sleep(LOOK_EVERY_S)

    async def end_leases(self, pids: Sequence[int]) -> None:
        """Let the leases of processes that are gone end now, which would take a minute."""
        gone = f"'-({'|'.join(map(str, pids))})-[0-9a-f]+$'"
        statements = (
            f"UPDATE lanes SET lease_until = 1 WHERE owner ~ {gone}",
            f"UPDATE leases SET until = 1 WHERE owner ~ {gone}",
            f"UPDATE processes SET until = 1 WHERE name ~ {gone}",
        )
        await asyncio.to_thread(self.primary.psql, ";".join(statements), self.database)

    def make_room(self) -> None:
        for disk in self._disks:
            assert disk
            disk.make_room()

    async def act(self, action: Action, told: Callable[[], Awaitable[None]]) -> bool:
        """Do what an action says of servers or the way to them; False where it says nothing of
        that.  An odd *amount* is for every process."""
        for_s, many = action.for_s, action.amount // 2
        client = None if action.amount % 2 else action.which
        match action.verb:
            case "crash":
                await self.crash(for_s)
            case "server-kill":
                await self.kill(for_s)
            case "server-freeze":
                await self.freeze(for_s)
            case "standby-freeze":
                await self.freeze(for_s, is_standby=True)
            case "fail-over":
                await self.fail_over(for_s)
            case "fill":
                await self.fill(for_s, told)
            case "cut":
                await self.cut(client, many, for_s / many)
            case "slow":
                await self.slow(client, for_s, 0.02 * many)
            case "silence":
                await self.silence(client, for_s, many)
            case "refuse":
                await self.refuse(client, for_s)
            case _:
                return False
        return True

    async def crash(self, for_s: float) -> None:
        """Shut the primary down at once, without a word to anybody, for a while."""
        async with self._is_mending:
            await asyncio.to_thread(self.primary.crash)
            await asyncio.sleep(for_s)
            await asyncio.to_thread(self.primary.start)

    async def kill(self, for_s: float) -> None:
        """SIGKILL every process of the primary, which is started again after a while."""
        async with self._is_mending:
            await asyncio.to_thread(self.primary.kill)
            await asyncio.sleep(for_s)
            await asyncio.to_thread(self.primary.start)

    async def freeze(self, for_s: float, *, is_standby: bool = False) -> None:
        """SIGSTOP every process of a server for a while; without the standby no commit ends."""
        async with self._is_mending:
            server = self.standby if is_standby else self.primary
            await asyncio.to_thread(server.send, SIGSTOP)
            try:
                await asyncio.sleep(for_s)
            finally:
                await asyncio.to_thread(server.send, SIGCONT)

    async def fail_over(self, for_s: float) -> None:
        """Lose the primary with its disk, promote the standby after a while, and give it another
        one, which stands in the place of the one that was lost."""
        async with self._is_mending:
            lost = self._leads
            await asyncio.to_thread(self.primary.kill)
            await asyncio.sleep(for_s)
            await asyncio.to_thread(self.standby.promote)
            self._leads = 1 - lost
            await asyncio.to_thread(self.servers[lost].stop)
            self.servers[lost] = await asyncio.to_thread(self._made, lost)
            for ways in self.ways:
                ways[lost].server_port = self.servers[lost].port
            await asyncio.to_thread(self._follow)

    async def fill(self, for_s: float, told: Callable[[], Awaitable[None]]) -> None:
        """Fill the primary's disk for a while, and until somebody was *told*.

        A server that cannot write its log down ends itself: it is started once there is room.
        """
        async with self._is_mending:
            disk, server = self._disks[self._leads], self.primary
            assert disk
            for pid in server.pids():
                await asyncio.to_thread(disk.fill, pid)
            try:
                await asyncio.sleep(for_s)
                async with asyncio.timeout(UP_S):
                    await told()
            except TimeoutError:
                self.problems.note(f"the server's disk was full for {UP_S} s, nobody was told")
            finally:
                for pid in server.pids():
                    disk.free(pid)
                if server.process.poll() is not None:
                    await asyncio.to_thread(server.start)

    async def cut(self, client: int | None, times: int, every_s: float) -> None:
        """Reset one process's connections, or everybody's, some times."""
        for _ in range(times):
            for way in self._ways_of(client):
                way.cut()
            await asyncio.sleep(every_s)

    async def slow(self, client: int | None, for_s: float, slow_s: float) -> None:
        """Let each chunk to and from a server wait."""
        for way in self._ways_of(client):
            way.slow_s = slow_s
        await self._heal(client, for_s)

    async def silence(self, client: int | None, for_s: float, ways: int) -> None:
        """Pass nothing on: to the server (1), back from it (2) or both ways (3)."""
        for way in self._ways_of(client):
            way.silence(to_server=bool(ways & 1), to_client=bool(ways & 2))
        await self._heal(client, for_s)

    async def refuse(self, client: int | None, for_s: float) -> None:
        """Reset all connections, and new ones at once."""
        for way in self._ways_of(client):
            way.refuse()
        await self._heal(client, for_s)

    def close(self) -> None:
        for server in self.servers:
            server.stop()
        for disk in self._disks:
            if disk:
                disk.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ways_of(self, client: int | None) -> Sequence[Between]:
        chosen = self.ways if client is None else [self.ways[client]]
        return [way for ways in chosen for way in ways]

    async def _heal(self, client: int | None, for_s: float) -> None:
        await asyncio.sleep(for_s)
        for way in self._ways_of(client):
            way.heal()

    def _made(self, place: int) -> Server:
        """Start a server on a new disk; it follows whoever leads where there is one already."""
        if disk := self._disks[place]:
            disk.close()
        folder = self._folder / f"place-{place}"
        shutil.rmtree(folder, ignore_errors=True)
        self._disks[place] = small_disk(folder, room_bytes=ROOM_BYTES)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        primary = self.primary if self.servers else None
        return Server(*OPTIONS, primary=primary, data=folder / "data")

    def _follow(self) -> None:
        """Let commits wait for the standby from now on.  Its own settings, which it took from the
        primary before, say nothing of that: it must write alone where it is promoted."""
        self.primary.set("synchronous_standby_names", "*")
