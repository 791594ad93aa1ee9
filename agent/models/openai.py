"""Any endpoint that speaks OpenAI's interface, through the official client; every wait and every retry is bounded."""

import asyncio
from typing import Any

from agent.models.contract import MODEL, Conclusion, Fault, ModelFailedError, Usage
from agent.models.prompt import Prompt, messages, prompt
from agent.retries import RetryBudget
from agent.settings import ModelSettings
from agent.tools.reason import ReasonInput
from protocols.clock import Clock
from protocols.message import Traffic
from protocols.wire import classify

_FIRST_BACKOFF_S = 0.05
_RETRIES_PER_SUCCESS = 0.1
_SERVER_ERROR, _TOO_MANY_REQUESTS = 500, 429
_LATER: tuple[Fault, ...] = ("rate_limited", "server_error", "timeout", "unreachable", "cut", "malformed")
"""What another attempt may cure."""


class OpenAIModel:
    """One client, at most ``max_concurrent`` requests at a time.

    A call ends within ``patience_s``, waiting and retries included; an attempt within ``timeout_s``. Retries are at
    most ``retries`` a call, and over all calls a tenth of what succeeds and ten at once. Retry-After is obeyed where
    it fits into the patience; where it does not, the call ends.
    """

    def __init__(self, settings: ModelSettings, patience_s: float, key: str, clock: Clock) -> None:
        # Here and not above: it takes a second of CPU time, and agents without it start in bulk.
        import openai  # noqa: PLC0415

        self._errors = openai
        self._client = openai.AsyncOpenAI(
            api_key=key, base_url=settings.base_url, timeout=settings.timeout_s, max_retries=0
        )
        # Its parts load when they are first touched, which would hold up the heartbeat.
        self._completions: Any = self._client.chat.completions
        self._settings = settings
        self._patience_s = patience_s
        self._clock = clock
        self._slots = asyncio.Semaphore(settings.max_concurrent)
        self._budget = RetryBudget(_RETRIES_PER_SUCCESS)

    async def conclude(self, task: str, request: ReasonInput) -> Conclusion:  # noqa: ARG002 - asked like any other
        """Ask until an answer is understood, the budget is spent, or time is up; raises ModelFailedError."""
        asked = prompt(request)
        spent = [0, 0, 0]
        try:
            async with asyncio.timeout(self._patience_s), self._slots:
                return await self._ask(asked, spent)
        except TimeoutError as error:
            raise ModelFailedError("timeout", f"{self._patience_s:g} s are over", Usage(*spent)) from error

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()

    async def _ask(self, asked: Prompt, spent: list[int]) -> Conclusion:
        until = self._clock.now() + self._patience_s
        backoff_s = _FIRST_BACKOFF_S
        for left in range(self._settings.retries, -1, -1):
            spent[0] += 1
            try:
                return await self._attempt(asked, spent)
            except _AttemptFailedError as error:
                wait_s = backoff_s if error.retry_after_s is None else error.retry_after_s
                hopeless = error.fault not in _LATER or self._clock.now() + wait_s >= until
                if not left or hopeless or not self._budget.spend(self._clock.now()):
                    raise ModelFailedError(error.fault, str(error), Usage(*spent)) from error
            await self._clock.sleep(wait_s)
            backoff_s *= 2
        raise AssertionError  # the last attempt returns or raises

    async def _attempt(self, asked: Prompt, spent: list[int]) -> Conclusion:
        try:
            with classify(Traffic.MODEL, MODEL):
                answer = await self._completions.create(
                    model=self._settings.name, messages=messages(asked), temperature=0
                )
        except self._errors.OpenAIError as error:
            raise self._classified(error) from error
        except ValueError as error:  # a body that is no JSON
            raise _AttemptFailedError("malformed", type(error).__name__) from error
        try:
            if answer.usage is not None:
                spent[1] += answer.usage.prompt_tokens
                spent[2] += answer.usage.completion_tokens
            found, chain = asked.read(answer.choices[0].message.content or "")
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            # The client checks nothing: whatever JSON came, it makes an object of.
            raise _AttemptFailedError("malformed", type(error).__name__) from error
        self._budget.earn()
        return Conclusion(found, chain, Usage(*spent))

    def _classified(self, error: Exception) -> "_AttemptFailedError":
        """By the client's own tree of errors; no text of the endpoint's is kept, since it may repeat the key."""
        detail = type(error).__name__
        if isinstance(error, self._errors.APITimeoutError):
            return _AttemptFailedError("timeout", detail)
        if isinstance(error, self._errors.APIConnectionError):
            # Of what its HTTP library raises, these come once an answer has begun.
            broke = type(error.__cause__).__name__ in ("RemoteProtocolError", "ReadError")
            return _AttemptFailedError("cut" if broke else "unreachable", type(error.__cause__).__name__)
        if isinstance(error, self._errors.APIStatusError):
            status = error.status_code
            if status == _TOO_MANY_REQUESTS:
                return _AttemptFailedError("rate_limited", detail, _seconds(error.response.headers.get("retry-after")))
            return _AttemptFailedError("server_error" if status >= _SERVER_ERROR else "refused", str(status))
        return _AttemptFailedError("malformed", detail)


class _AttemptFailedError(Exception):
    """One attempt came to nothing."""

    def __init__(self, fault: Fault, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.fault: Fault = fault
        self.retry_after_s = retry_after_s


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds (RFC 9110, 10.2.3); a date, which endpoints of this kind do not send, counts as none."""
    try:
        return max(0.0, float(retry_after)) if retry_after is not None else None
    except ValueError:
        return None
