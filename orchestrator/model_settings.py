"""The section ``llm``: what the agents reason with, as a user writes it; its defaults stand here and nowhere else."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from agent.models.replay import read_recording
from agent.settings import KEY_VARIABLE, MODEL_SHARE, ModelSettings
from orchestrator.section import Auto, Section, http_address
from protocols.errors import ConfigError

_PLACEHOLDER = "your-key-here"
_ATTEMPTS_IN_TIME = 2
"""How often an endpoint that never answers can be asked before a step gives it up."""


HOST_OF_CONTAINERS = "host.docker.internal"
"""The name by which containers reach the machine that they run on (compose.yaml)."""


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _endpoint(text: str) -> str:
    return http_address(text, "the address of an endpoint without credentials, such as http://127.0.0.1:8000/v1")


class Price(Section):
    """What a million tokens cost, in any currency; the costs of a run are in the same one."""

    prompt: float = Field(default=0.0, ge=0, description="a number, 0 or more")
    completion: float = Field(default=0.0, ge=0, description="a number, 0 or more")


class Model(Section):
    """The section ``llm.model``: what the agents reason with."""

    type: Literal["local", "openai", "replay"] = Field(default="local", description="one of local, openai, replay")
    name: str = Field(default="rules", min_length=1, description="the name of a model")
    base_url: Annotated[str, AfterValidator(_endpoint)] = Field(
        default="https://api.openai.com/v1", description="the address of an endpoint that speaks OpenAI's interface"
    )
    timeout_s: Annotated[float, Field(gt=0)] | Auto = Field(
        default="auto", description="seconds above 0 for one attempt, or auto (a fifth of the task deadline)"
    )
    max_concurrent: int = Field(default=8, ge=1, le=256, description="a whole number of requests from 1 to 256")
    retries: int = Field(default=2, ge=0, le=10, description="a whole number from 0 to 10")
    price: Price = Field(default_factory=Price)
    fallback: Literal["local", "peer"] = Field(default="local", description="one of local, peer")
    recording: str | None = Field(default=None, min_length=1, description="the path of a recording, or null")
    openai_api_key: SecretStr | None = Field(default=None, exclude=True, description="a text")
    """Never written anywhere: it is left out of every dump."""

    def check(self, task_deadline_s: float) -> None:
        """Raise ConfigError for what does not fit: no key, no recording, a timeout that nobody would wait for."""
        if self.type == "openai" and not self._key():
            raise ConfigError(
                f"llm.model.type: expected a key for openai, but none came; set the environment variable "
                f"{KEY_VARIABLE}, or set llm.model.type to local"
            )
        if self.type == "replay":
            if self.recording is None:
                raise ConfigError(
                    "llm.model.recording: expected the path of a recording for replay, but none came; make one with "
                    "`python -m orchestrator record RUN_DIR --out FILE`"
                )
            read_recording(Path(self.recording))
        most_s = MODEL_SHARE * task_deadline_s
        if self.timeout_s != "auto" and self.timeout_s > most_s:
            raise ConfigError(
                f"llm.model.timeout_s: expected at most {most_s:g} s, {MODEL_SHARE:g} of the task deadline, since then "
                f"another agent is asked, got {self.timeout_s:g}; lower it, or raise scenario.task_deadline_s"
            )

    def check_reach(self) -> None:
        """Raise ConfigError for an endpoint that is this machine's loopback: in a container that is the container."""
        host = urlsplit(self.base_url).hostname or ""
        if self.type == "openai" and _is_loopback(host):
            raise ConfigError(
                f"llm.model.base_url: expected an address that containers reach, got {host}, which is each container "
                f"itself; have the endpoint listen beyond loopback and name it {HOST_OF_CONTAINERS}, or run with "
                f"--runtime local"
            )

    def resolved(self, task_deadline_s: float) -> "Model":
        """The same with a number in the place of ``auto``, and without the key."""
        return self.model_copy(update={"openai_api_key": None, "timeout_s": self._timeout_s(task_deadline_s)})

    def for_agents(self, task_deadline_s: float) -> ModelSettings:
        """What the agents are told: everything but the key."""
        return ModelSettings(
            type=self.type,
            name=self.name,
            base_url=self.base_url,
            timeout_s=self._timeout_s(task_deadline_s),
            max_concurrent=self.max_concurrent,
            retries=self.retries,
            prompt_price=self.price.prompt,
            completion_price=self.price.completion,
            fallback=self.fallback,
            recording=None if self.recording is None else Path(self.recording).resolve(),
        )

    def environment(self) -> dict[str, str]:
        """What the environment of an agent has to hold: the key, and only for an endpoint."""
        return {KEY_VARIABLE: self._key()} if self.type == "openai" else {}

    def _key(self) -> str:
        key = self.openai_api_key.get_secret_value() if self.openai_api_key else ""
        return "" if key == _PLACEHOLDER else key

    def _timeout_s(self, task_deadline_s: float) -> float:
        if self.timeout_s != "auto":
            return self.timeout_s
        return round(MODEL_SHARE * task_deadline_s / _ATTEMPTS_IN_TIME, 6)


class Llm(Section):
    """The section ``llm``."""

    model: Model = Field(default_factory=Model)
