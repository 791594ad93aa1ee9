"""What an agent makes of an endpoint's faults: one word for each, bounded retries, and an answer all the same."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.models.contract import ModelFailedError
from agent.models.openai import OpenAIModel
from agent.settings import ModelSettings
from agent.tools.contract import Triple
from agent.tools.reason import ReasonInput
from protocols.clock import MonotonicClock
from protocols.wire import ByteCounter, counting_loop
from tests.models.endpoint_process import EndpointProcess

KEY = "sk-not-to-be-seen"
PATIENCE_S = 1.5
LONG_S = 10.0
"""More than any machine needs for one call, and less than what waits for something else."""
REQUEST = ReasonInput(
    question="Where was the designer of the Aurora Bridge born?",
    triples=(
        Triple(subject="Aurora Bridge", relation="designer", object="Mira Holt", fragment_id="f-1"),
        Triple(subject="Mira Holt", relation="birthplace", object="Karsund", fragment_id="f-2"),
    ),
)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndpointProcess]:
    """An endpoint of this file's own."""
    with EndpointProcess(tmp_path_factory.mktemp("endpoint") / "log") as process:
        yield process


def settings(endpoint: EndpointProcess, **wishes: Any) -> ModelSettings:
    """A model behind the endpoint."""
    values = {"type": "openai", "name": "echo", "base_url": endpoint.base_url, "timeout_s": 0.5, **wishes}
    return ModelSettings.model_validate(values)


async def asked(model: OpenAIModel, times: int = 1) -> list[Any]:
    """Conclusions or errors of so many calls at once."""
    try:
        calls = (model.conclude(f"q{number}", REQUEST) for number in range(times))
        return await asyncio.gather(*calls, return_exceptions=True)
    finally:
        await model.close()


def ask(
    chosen: ModelSettings, times: int = 1, counter: ByteCounter | None = None, patience_s: float = PATIENCE_S
) -> list[Any]:
    """The same on a loop that counts bytes."""
    with asyncio.Runner(loop_factory=lambda: counting_loop(counter or ByteCounter())) as runner:
        return runner.run(asked(OpenAIModel(chosen, patience_s, KEY, MonotonicClock()), times))


def test_an_answer_comes_with_its_chain_and_its_tokens(endpoint: EndpointProcess) -> None:
    """The facts that the reply names are the chain; the key goes to the endpoint; bytes are the model's alone."""
    endpoint.switch()
    counter = ByteCounter()
    (found,) = ask(settings(endpoint), counter=counter)
    assert (found.answer, found.chain) == ("Karsund", REQUEST.triples)
    assert found.usage.attempts == 1
    assert found.usage.prompt_tokens > 40
    assert found.usage.completion_tokens > 0
    assert endpoint.seen()["authorised"] == 1
    assert {(row[0], row[1], row[2]) for row in counter.drain()} == {("client", "model", "model")}


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "status", "status": 429, "retry_after": "0.05"}, "rate_limited"),
    ({"kind": "status", "status": 429, "retry_after": "soon"}, "rate_limited"),
    ({"kind": "status", "status": 500}, "server_error"),
    ({"kind": "status", "status": 503}, "server_error"),
    ({"kind": "hang"}, "timeout"),
    ({"kind": "cut"}, "cut"),
    ({"kind": "garbled"}, "malformed"),
    ({"kind": "prose"}, "malformed"),
    ({"kind": "other", "body": {"choices": []}}, "malformed"),
    ({"kind": "other", "body": {"choices": [{"message": None}]}}, "malformed"),
    ({"kind": "other", "body": {"choices": 7, "usage": {"prompt_tokens": "many"}}}, "malformed"),
    ({"kind": "other", "body": ["what"]}, "malformed"),
]


@pytest.mark.parametrize(("fault", "word"), FAULTS)
def test_a_fault_has_its_name(endpoint: EndpointProcess, fault: dict[str, Any], word: str) -> None:
    """Without retries one attempt decides; the error says which fault, and never the key."""
    endpoint.switch(always=fault)
    (error,) = ask(settings(endpoint, retries=0))
    assert isinstance(error, ModelFailedError), error
    assert (error.fault, error.usage.attempts, endpoint.seen()["requests"]) == (word, 1, 1)
    assert KEY not in str(error)


@pytest.mark.parametrize(("fault", "word"), FAULTS)
def test_a_fault_that_passes_costs_a_retry(endpoint: EndpointProcess, fault: dict[str, Any], word: str) -> None:
    """The second attempt is answered."""
    endpoint.switch(fault)
    (found,) = ask(settings(endpoint))
    assert (found.answer, found.usage.attempts) == ("Karsund", 2), word


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_not_asked_again(endpoint: EndpointProcess, status: int) -> None:
    """Another attempt would be refused as well."""
    endpoint.switch(always={"kind": "status", "status": status})
    (error,) = ask(settings(endpoint))
    assert (error.fault, endpoint.seen()["requests"]) == ("refused", 1)


def test_retry_after_is_obeyed_where_it_fits(endpoint: EndpointProcess) -> None:
    """Half a second is waited; an hour ends the call at once, without another request."""
    endpoint.switch({"kind": "status", "status": 429, "retry_after": "0.5"})
    began = time.monotonic()
    (found,) = ask(settings(endpoint))
    assert found.answer == "Karsund"
    assert time.monotonic() - began >= 0.5
    endpoint.switch(always={"kind": "status", "status": 429, "retry_after": "3600"})
    began = time.monotonic()
    (error,) = ask(settings(endpoint), patience_s=6 * LONG_S)
    assert (error.fault, endpoint.seen()["requests"]) == ("rate_limited", 1)
    assert time.monotonic() - began < LONG_S


def test_a_call_ends_in_time_whatever_the_endpoint_does(endpoint: EndpointProcess) -> None:
    """An endpoint that hangs costs the patience and not more."""
    endpoint.switch(always={"kind": "hang"})
    began = time.monotonic()
    (error,) = ask(settings(endpoint, timeout_s=1.4, retries=10))
    assert error.fault == "timeout"
    assert time.monotonic() - began < LONG_S


def test_retries_keep_their_budget(endpoint: EndpointProcess) -> None:
    """Forty failing calls with up to ten retries each send forty first attempts and ten retries."""
    endpoint.switch(always={"kind": "status", "status": 500})
    # Patient, since a call whose time is up on a busy machine leaves its retry unspent.
    errors = ask(settings(endpoint, retries=10, max_concurrent=40), times=40, patience_s=30.0)
    assert {error.fault for error in errors} == {"server_error"}
    assert endpoint.seen()["requests"] == 50
    assert sum(error.usage.attempts for error in errors) == 50


def test_no_more_requests_run_at_once_than_allowed(tmp_path: Path) -> None:
    """Twelve calls, three at a time."""
    with EndpointProcess(tmp_path / "log") as endpoint:
        endpoint.switch(*[{"kind": "hang", "s": 0.05}] * 12)
        found = ask(settings(endpoint, max_concurrent=3), times=12)
        assert {conclusion.answer for conclusion in found} == {"Karsund"}
        assert endpoint.seen() == {"requests": 12, "most_running": 3, "authorised": 12}


def test_a_dead_endpoint_is_unreachable(tmp_path: Path) -> None:
    """Nobody listens any more."""
    with EndpointProcess(tmp_path / "log") as gone:
        chosen = settings(gone)
    (error,) = ask(chosen)
    assert error.fault == "unreachable"
