"""How refusals end a command."""

import json
import re

import pytest

from invengine.cli.exits import ADVICE, ExitCode, advice_for, exit_code_of, sentence
from invengine.client import CallFailed, ServerUnreachable
from invengine.errors import InternalError, InventoryError, all_refusals
from tests.cli.servers import CommandLine
from tests.cli.test_help import COMMANDS
from tests.cli.vocabulary import COMMON, WORDS

CODES = {
    ExitCode.USAGE: "INVALID_ARGUMENT MALFORMED_MESSAGE REQUEST_MISMATCH NETWORK_INVALID TRANSIT_INVALID "
    "PROFILE_INVALID",
    ExitCode.NOT_FOUND: "UNKNOWN_SKU UNKNOWN_LOCATION UNKNOWN_GROUP UNKNOWN_CHANNEL POSITION_NOT_FOUND "
    "RESERVATION_NOT_FOUND LINE_NOT_FOUND RECEIPT_NOT_FOUND UNKNOWN_STATE RETURN_NOT_FOUND TRANSFER_NOT_FOUND "
    "UNKNOWN_SERVICE UNKNOWN_PROFILE PLAN_NOT_FOUND TOKEN_NOT_FOUND",
    ExitCode.REFUSED: "INSUFFICIENT_STOCK LOCATION_NOT_USABLE CHANNEL_DISABLED GROUP_NOT_USABLE RESERVATION_EXPIRED "
    "RESERVATION_CLOSED RESERVATION_CONFIRMED RESERVATION_NOT_CONFIRMED QUANTITY_EXCEEDS_OPEN TIME_TO_LIVE_TOO_LONG "
    "QUANTITY_OUT_OF_RANGE COUNT_TOO_OLD OLDER_COUNT COVERED_BY_COUNT RESERVATION_EXISTS LINE_EXISTS REVISION_MISMATCH "
    "TOO_MANY_PARCELS NETWORK_MISSING QUANTITY_EXCEEDS_FULFILLED RETURN_EXISTS "
    "TRANSFER_CLOSED TRANSFER_EXISTS OF_TRANSFER PROMISE_TOO_LATE CAPACITY_EXHAUSTED PROMISE_UNKNOWN NO_PLAN "
    "TOO_MANY_PROFILES PLAN_STALE DAY_NOT_RECORDED TOO_MANY_TOKENS HANDLES_UNKNOWN",
    ExitCode.UNAVAILABLE: "STORE_UNAVAILABLE STORE_FULL REPLICA_BEHIND SHUTTING_DOWN OVERLOADED RATE_LIMITED",
    ExitCode.NOT_ALLOWED: "UNAUTHENTICATED ROLE_MISSING CHANNEL_NOT_ALLOWED",
    ExitCode.FAILURE: "OUTCOME_UNKNOWN INTERNAL",
}
CODE_OF = {word: code for code, words in CODES.items() for word in words.split()}


def test_every_refusal_has_its_code() -> None:
    assert set(CODE_OF) == set(all_refusals())


def test_every_refusal_has_a_next_step_or_says_it_all() -> None:
    assert set(ADVICE) == set(all_refusals())
    assert {word for word, advice in ADVICE.items() if not advice} == {
        "COVERED_BY_COUNT",
        "INVALID_ARGUMENT",
        "OLDER_COUNT",
    }


def test_a_next_step_names_what_there_is() -> None:
    """Commands that advice names exist, and so do their options."""
    for word, advice in ADVICE.items():
        for words in re.findall(r"invengine ((?:[a-z-]+ ?)+)", advice):
            first, second, *_ = [*words.split(), "", ""]
            assert (first,) in COMMANDS or (first, second) in COMMANDS or second == "--help", word
        assert set(re.findall(r"--[a-z-]+", advice)) <= set(COMMON) | set(WORDS) | {"--help"}, word


@pytest.mark.parametrize(("word", "kind"), all_refusals().items())
def test_a_refusal_ends_with_the_code_of_its_family(word: str, kind: type[InventoryError]) -> None:
    assert exit_code_of(kind.__new__(kind)) == CODE_OF[word]


def test_a_fault_of_the_engine_tells_what_to_look_for_in_the_log() -> None:
    fault = InternalError("5d0e9aa1c3f2")
    assert sentence(fault) == "Internal error 5d0e9aa1c3f2"
    assert advice_for(fault) == "The server's log has the details: look for that number."


def test_what_is_no_refusal_is_a_failure_or_nobody_there() -> None:
    assert exit_code_of(CallFailed("CANCELLED", "")) == ExitCode.FAILURE
    unreachable = ServerUnreachable("127.0.0.1:1")
    assert exit_code_of(unreachable) == ExitCode.UNAVAILABLE
    assert "invengine serve" in advice_for(unreachable)


def test_nobody_there_ends_with_5() -> None:
    nobody = CommandLine("127.0.0.1:1").run("network", "show", "--timeout-seconds", "0.2", exit_code=5)
    assert nobody.stdout == ""
    assert nobody.stderr.startswith("No server answers at 127.0.0.1:1")
    assert "Start one with: invengine serve." in nobody.stderr
    told = json.loads(CommandLine("127.0.0.1:1").run("check", "--json", "--timeout-seconds", "0.2", exit_code=5).stderr)
    assert told["reason"] == "SERVER_UNREACHABLE"
