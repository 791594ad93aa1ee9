"""What every tool of the pipeline is: a name, a typed request, a typed result and one async entry."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from agent.fragments import Fragment
from protocols.errors import FailstormError
from protocols.skills import Skill


class StepRejectedError(FailstormError):
    """A step cannot be done as asked: an unknown tool, a missing field, or a payload that is not the tool's."""


class Lookup(Protocol):
    """How a tool reaches the fragments of the mesh, wherever they live."""

    async def __call__(self, title: str) -> Fragment | None:
        """Return the fragment with this title, None if there is no such entity.

        Raises:
            FragmentUnavailableError: no holder of the fragment's shard can be reached.
        """


@runtime_checkable
class Library(Lookup, Protocol):
    """A lookup that can also be asked for fragments by what they say; documents in natural language need one."""

    async def find(self, query: str, limit: int) -> tuple[Fragment, ...]:
        """Return the ``limit`` fragments of the whole document that match the query best, the best first.

        Shards that no holder can be reached for are left out: what they have cannot be known, nor waited for.
        """


class StepPayload(BaseModel):
    """Base of all requests and results: frozen, JSON-able, and without room for anything undeclared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sentence(StepPayload):
    """One sentence of a fragment, with the title its pronouns refer to."""

    fragment_id: str
    title: str
    text: str


class Triple(StepPayload):
    """One fact read from a sentence, of which ``subject`` and ``object`` are titles or plain values.

    ``relation`` is a name of the lexicon, or for natural language the sentence itself, with ``_`` for the object.
    """

    subject: str
    relation: str
    object: str
    fragment_id: str


class _PlainSchema(GenerateJsonSchema):
    """Without a title for each field that only repeats its name: cards travel with each handshake."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


RequestT = TypeVar("RequestT", bound=StepPayload)
ResultT = TypeVar("ResultT", bound=StepPayload)
PayloadT = TypeVar("PayloadT", bound=StepPayload)


@dataclass(frozen=True)
class Tool(Generic[RequestT, ResultT]):
    """One tool as the registry knows it.

    Attributes:
        name: What an agent is told to be, e.g. ``search``; also the name of the tool's file.
        description: What it does, in a sentence for whoever looks for an agent; published with the two models.
        stage: Place in the pipeline, ascending; steps of ten leave room for newcomers.
        request: Model of the step's input; each of its fields is taken from the state of the task.
        result: Model of the step's output; its fields are merged into the state of the task.
        run: The work itself; only a tool that fetches fragments uses the lookup.
    """

    name: str
    description: str
    stage: int
    request: type[RequestT]
    result: type[ResultT]
    run: Callable[[RequestT, Lookup], Awaitable[ResultT]]

    @property
    def skill(self) -> Skill:
        """The tool as its agent publishes it: the models are the schemas."""
        return Skill(
            self.name,
            self.description,
            self.request.model_json_schema(schema_generator=_PlainSchema),
            self.result.model_json_schema(schema_generator=_PlainSchema, mode="serialization"),
        )

    def next_input(self, state: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Pick this tool's request out of a task's state.

        Raises:
            StepRejectedError: an earlier step has not delivered what this one needs.
        """
        fields = {name: state[name] for name in self.request.model_fields if name in state}
        return _validated(self.name, self.request, fields).model_dump(mode="json")

    def advance(self, state: Mapping[str, JsonValue], result: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Return the task's state with this tool's result, as it came off the wire, merged in.

        Raises:
            StepRejectedError: the result is not one of this tool.
        """
        return {**state, **_validated(self.name, self.result, result).model_dump(mode="json")}

    async def execute(self, payload: Mapping[str, JsonValue], lookup: Lookup) -> dict[str, JsonValue]:
        """Do the step for a request as it came off the wire; the result is ready for the wire.

        Raises:
            StepRejectedError: the payload is not a request for this tool.
            FragmentUnavailableError: a needed fragment is out of reach.
        """
        result = await self.run(_validated(self.name, self.request, payload), lookup)
        return result.model_dump(mode="json")


def _validated(tool: str, model: type[PayloadT], payload: Mapping[str, JsonValue]) -> PayloadT:
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "payload"
        message = (
            f"{tool}: expected {model.__name__} with {', '.join(model.model_fields)}; "
            f"got a payload whose {field!r} is wrong: {first['msg']}; send it again as declared"
        )
        raise StepRejectedError(message) from error
