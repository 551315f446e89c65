"""Settings: defaults, the environment, and one line for each fault."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from invengine.redis_url import FORMS, Kind, RedisUrl
from invengine.settings import Settings, SettingsInvalid, split_address


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the suite."""
    for name in [name for name in os.environ if name.startswith("INVENGINE_")]:
        monkeypatch.delenv(name)


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid) as refused:
        Settings.load()
    return str(refused.value)


def test_without_any_variable_the_engine_is_private_and_durable() -> None:
    settings = Settings.load()
    assert settings.redis_url == ""
    assert settings.redis_server is None
    assert settings.durability == "always"
    assert settings.partitions == 16
    assert settings.listen == ("127.0.0.1:50051",)
    assert settings.metrics_listen == "127.0.0.1:9464"
    assert settings.message_bytes_max == 4 * 1024 * 1024
    assert settings.retention_hours == 168
    assert settings.count_window_hours == 168


def test_variables_of_the_environment_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVENGINE_REDIS_URL", "rediss://engine:secret@stock:6380/0")
    monkeypatch.setenv("INVENGINE_LISTEN", "127.0.0.1:0, [::1]:50051,unix:/run/invengine.sock")
    monkeypatch.setenv("INVENGINE_METRICS_LISTEN", "")
    monkeypatch.setenv("INVENGINE_REFLECTION", "off")
    monkeypatch.setenv("INVENGINE_LOG_LEVEL", "debug")
    settings = Settings.load()
    assert settings.redis_url == "rediss://engine:secret@stock:6380/0"
    assert settings.listen == ("127.0.0.1:0", "[::1]:50051", "unix:/run/invengine.sock")
    assert settings.metrics_listen == ""
    assert settings.reflection is False
    assert settings.log_level == "DEBUG"


def test_what_a_command_gives_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVENGINE_PARTITIONS", "16")
    assert Settings.load().partitions == 16
    assert Settings.load(partitions=8).partitions == 8


def test_a_redis_that_may_be_a_cluster_gets_more_partitions() -> None:
    assert Settings.load(redis_url="redis+cluster://stock:6379").partitions == 64
    assert Settings.load(redis_url="redis://stock:6379", partitions=8).partitions == 8


@pytest.mark.parametrize(
    ("data_home", "expected"),
    [("/srv/share", "/srv/share/invengine"), ("", "/home/ann/.local/share/invengine"), ("relative", None)],
)
def test_data_stand_in_a_folder_of_the_user(
    monkeypatch: pytest.MonkeyPatch, data_home: str, expected: str | None
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("XDG_DATA_HOME", data_home)  # the standard says that a relative path counts as none
    assert Settings.load().data_dir == Path(expected or "/home/ann/.local/share/invengine")


def test_settings_do_not_change_once_read() -> None:
    settings = Settings.load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.partitions = 1  # type: ignore[misc]


def test_a_unix_socket_is_for_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(monkeypatch, INVENGINE_WORKERS="2", INVENGINE_LISTEN="127.0.0.1:0,unix:/run/engine.sock") == (
        "INVENGINE_WORKERS is 2, but unix:/run/engine.sock can be served by one process only: listen on a HOST:PORT "
        "instead, 127.0.0.1 for callers of this machine, or have one worker"
    )
    assert Settings.load(workers=1).listen == ("127.0.0.1:0", "unix:/run/engine.sock")


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("REDIS_URL", "http://stock:6379", FORMS),
        ("REDIS_URL", "redis://", FORMS),
        ("REDIS_URL", "unix://", FORMS),
        ("REDIS_URL", "redis+sentinel:///stock", FORMS),
        ("REDIS_URL", "redis+cluster://::1:6379", FORMS),
        ("REDIS_URL", "redis+cluster://a:6379,:6380", FORMS),
        ("REDIS_URL", "redis+cluster://a:6379,b:port", "a port of it is not a number of 1 to 65535"),
        ("REDIS_URL", "redis+sentinel://a:0/stock", "a port of it is not a number of 1 to 65535"),
        ("REDIS_URL", "redis+sentinel://a:26379,b", "lacks the name of the master: redis+sentinel://HOST:PORT/SERVICE"),
        ("REDIS_URL", "redis+sentinel://a/stock/first", "ends with what is not the number of a database"),
        ("REDIS_URL", "redis+cluster://a:6379/1", "names a database, and a Cluster has only one"),
        (
            "REDIS_URL",
            "redis://a:6379,b:6379",
            "names several servers: they need redis+sentinel:// or redis+cluster://",
        ),
        ("DURABILITY", "sometimes", "Input should be 'always', 'everysec' or 'replicated'"),
        ("REPLICAS", "0", "Input should be greater than or equal to 1"),
        ("REPLICA_SECONDS", "0", "Input should be greater than 0"),
        ("PARTITIONS", "0", "Input should be greater than or equal to 1"),
        ("PARTITIONS", "many", "Input should be a valid integer, unable to parse string as an integer"),
        ("LISTEN", "50051", "must be HOST:PORT, with a port of 0 to 65535 (0 takes any free one)"),
        ("LISTEN", "127.0.0.1:65536", "must be HOST:PORT, with a port of 0 to 65535 (0 takes any free one)"),
        ("LISTEN", "127.0.0.1:²", "must be HOST:PORT, with a port of 0 to 65535 (0 takes any free one)"),
        ("LISTEN", "::1:50051", "an IPv6 host stands in brackets: [::1]:50051"),
        ("LISTEN", "unix:run.sock", "unix:PATH needs an absolute path"),
        ("LISTEN", "unix:/" + "x" * 103, "the path of a unix socket may have 103 bytes at most"),
        ("METRICS_LISTEN", "unix:/run/metrics", "must be HOST:PORT, with a port of 0 to 65535 (0 takes any free one)"),
        ("WORKERS", "0", "Input should be greater than or equal to 1"),
        ("COUNT_WINDOW_HOURS", "0", "Input should be greater than or equal to 1"),
        ("LOG_LEVEL", "LOUD", "Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
    ],
)
def test_a_fault_is_one_line_that_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, problem: str
) -> None:
    assert refusal(monkeypatch, **{f"INVENGINE_{variable}": value}) == f"INVENGINE_{variable}: {problem}"


def test_a_redis_of_the_engines_own_has_no_replicas_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(monkeypatch, INVENGINE_DURABILITY="replicated") == (
        "INVENGINE_DURABILITY is replicated, but the Redis that the engine starts has no replicas: "
        "set INVENGINE_REDIS_URL, or the durability to always"
    )
    assert Settings.load(redis_url="redis+cluster://a").replicas == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://stock", (Kind.STANDALONE, (("stock", 6379),), "", "", "", 0)),
        ("rediss://ann:s%40t@[::1]:6380/2", (Kind.STANDALONE, (("::1", 6380),), "ann", "s@t", "", 2)),
        ("redis+sentinel://a,b:1/main/3", (Kind.SENTINEL, (("a", 26379), ("b", 1)), "", "", "main", 3)),
        ("redis+cluster://:pw@a:7000,[::1]:7001", (Kind.CLUSTER, (("a", 7000), ("::1", 7001)), "", "pw", "", 0)),
        ("rediss+cluster://a/0", (Kind.CLUSTER, (("a", 6379),), "", "", "", 0)),
    ],
)
def test_a_url_has_servers_and_credentials(url: str, expected: tuple[object, ...]) -> None:
    parsed = RedisUrl.parse(url)
    found = (parsed.kind, parsed.hosts, parsed.username, parsed.password, parsed.service, parsed.database)
    assert found == expected


def test_every_fault_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = refusal(monkeypatch, INVENGINE_PARTITIONS="0", INVENGINE_GRACE_SECONDS="-1")
    assert [line.split(":")[0] for line in told.splitlines()] == ["INVENGINE_PARTITIONS", "INVENGINE_GRACE_SECONDS"]


def test_a_password_is_neither_shown_nor_repeated_in_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "secret" not in repr(Settings.load(redis_url="redis://:secret@stock"))
    assert "secret" not in refusal(monkeypatch, INVENGINE_REDIS_URL="redis://:secret@stock:port")


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:50051", "stock.example:50051", "192.0.2.1:50051"])
@pytest.mark.parametrize("variable", ["INVENGINE_LISTEN", "INVENGINE_METRICS_LISTEN"])
def test_nothing_listens_beyond_this_machine_unless_told_so_plainly(
    monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    tls = "INVENGINE_TLS_CERTIFICATE and INVENGINE_TLS_KEY, or " if variable == "INVENGINE_LISTEN" else ""
    assert refusal(monkeypatch, **{variable: address}) == (
        f"{address} can be reached from other machines and is not encrypted: "
        f"set {tls}INVENGINE_LISTEN_BEYOND_LOOPBACK=true if that is meant"
    )
    monkeypatch.setenv("INVENGINE_LISTEN_BEYOND_LOOPBACK", "true")
    assert address in (*Settings.load().listen, Settings.load().metrics_listen)


@pytest.mark.parametrize("address", ["localhost:1", "127.0.0.7:1", "[::1]:1"])
def test_this_machines_own_addresses_need_no_leave(address: str) -> None:
    assert Settings.load(listen=address, metrics_listen=address).listen == (address,)


def test_a_misspelt_variable_is_pointed_out() -> None:
    environment = {"INVENGINE_DATADIR": "/srv", "INVENGINE_SERVER": "localhost", "INVENGINE_XYZ": "1", "PATH": "/bin"}
    assert Settings.unknown_variables(environment) == [
        "INVENGINE_DATADIR is not a setting; is INVENGINE_DATA_DIR meant?",
        "INVENGINE_XYZ is not a setting",
    ]


@pytest.mark.parametrize(
    ("address", "expected"), [("127.0.0.1:50051", ("127.0.0.1", 50051)), ("[::1]:0", ("::1", 0)), ("a.b:1", ("a.b", 1))]
)
def test_an_address_has_a_host_and_a_port(address: str, expected: tuple[str, int]) -> None:
    assert split_address(address) == expected


@pytest.mark.parametrize(
    ("given", "asks", "reflects"),
    [
        ({}, False, True),
        ({"authentication": True}, True, False),
        ({"authentication": True, "reflection": True}, True, True),
        ({"reflection": False}, False, False),
        ({"listen": "0.0.0.0:1", "listen_beyond_loopback": True}, True, False),
        ({"listen": "127.0.0.1:1,0.0.0.0:1", "tls_certificate": "c", "tls_key": "k"}, True, False),
        ({"listen": "0.0.0.0:1", "tls_certificate": "c", "tls_key": "k", "authentication": False}, False, True),
        ({"metrics_listen": "0.0.0.0:1", "listen_beyond_loopback": True}, False, True),
    ],
)
def test_who_calls_is_asked_where_other_machines_can_call_and_reflection_is_off_then(
    given: dict[str, object], asks: bool, reflects: bool
) -> None:
    settings = Settings.load(**given)
    assert (settings.asks_who_calls, settings.reflects) == (asks, reflects)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"INVENGINE_TLS_CERTIFICATE": "c"},
            "INVENGINE_TLS_CERTIFICATE and INVENGINE_TLS_KEY go together: set both or neither",
        ),
        (
            {"INVENGINE_TLS_CLIENT_CA": "ca"},
            "INVENGINE_TLS_CLIENT_CA needs INVENGINE_TLS_CERTIFICATE and INVENGINE_TLS_KEY",
        ),
    ],
)
def test_tls_is_set_whole(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str) -> None:
    assert refusal(monkeypatch, **given) == told
