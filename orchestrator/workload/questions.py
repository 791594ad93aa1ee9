"""Asks multi-hop questions about a world: a walk from fact to fact, put into one English question."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.tools.lexicon import OTHER_FRAMES, PERSON_FRAMES, Relation
from orchestrator.workload.document import NO_ANSWER, GaiaQuestion, GeneratorParameters
from orchestrator.workload.grade import normalise
from orchestrator.workload.worlds import Fact, Thing, World
from protocols.errors import ConfigError

_TRIES_PER_QUESTION = 200
_ASKED_BY_ALIAS = 0.5


@dataclass(frozen=True)
class AskedQuestion:
    """A question, and what its answer is: the kind of an entity or value, or ``noanswer``."""

    question: GaiaQuestion
    answer_kind: str


@dataclass(frozen=True)
class _Trail:
    """A walk through the world: where it starts, the facts it follows, and whether the last one is stated at all."""

    start: Thing
    by_alias: bool
    facts: tuple[Fact, ...]
    answerable: bool

    @property
    def key(self) -> tuple[Thing, tuple[str, ...]]:
        return self.start, tuple(fact.relation.name for fact in self.facts)

    @property
    def answer(self) -> str:
        """The last target as the document calls it."""
        last = self.facts[-1]
        return last.target.alias if last.by_alias else last.target.title

    @property
    def titles(self) -> Iterator[str]:
        """The titles of the fragments on the way, those of aliases included."""
        here, by_alias = self.start, self.by_alias
        for fact in self.facts:
            if by_alias:
                yield here.alias
            yield here.title
            here, by_alias = fact.target, fact.by_alias


def ask(
    world: World,
    ids: Mapping[str, str],
    count: int,
    asked_before: int,
    parameters: GeneratorParameters,
    rng: random.Random,
) -> Iterator[AskedQuestion]:
    """Yield ``count`` distinct questions; ``ids`` maps titles to fragment ids, ``asked_before`` others precede them.

    Raises:
        ConfigError: the world is too small for that many distinct questions.
    """
    width = max(4, len(str(parameters.question_count)))
    spread = parameters.max_hops - parameters.min_hops + 1
    asked: set[tuple[Thing, tuple[str, ...]]] = set()
    for _ in range(count * _TRIES_PER_QUESTION):
        number = asked_before + len(asked)
        answerable = _is_answerable(number, parameters.unanswerable_rate)
        trail = _walk(world, parameters.min_hops + number % spread, rng, answerable=answerable)
        if trail is None or trail.key in asked:
            continue
        text = _question_text(trail, rng)
        # A question that names its own answer would be right without a single fragment.
        if normalise(trail.answer) in normalise(text):
            continue
        asked.add(trail.key)
        question = GaiaQuestion(
            question_id=f"q-{number + 1:0{width}}",
            question=text,
            answer=trail.answer if answerable else NO_ANSWER,
            fragments=tuple(ids[title] for title in trail.titles),
            hops=len(trail.facts),
        )
        yield AskedQuestion(question, trail.facts[-1].relation.target if answerable else NO_ANSWER)
        if len(asked) == count:
            return
    message = (
        f"expected {count} distinct questions of {parameters.min_hops} to {parameters.max_hops} "
        f"hops, got {len(asked)} out of {len(ids)} fragments; ask for more fragments or for less"
    )
    raise ConfigError(message)


def _is_answerable(number: int, unanswerable_rate: float) -> bool:
    """Spread the unanswerable ones evenly over the questions."""
    return int((number + 1) * unanswerable_rate + 1e-9) == int(number * unanswerable_rate + 1e-9)


def _walk(world: World, hops: int, rng: random.Random, *, answerable: bool) -> _Trail | None:
    start = here = rng.choice(world.entities)
    by_alias = bool(start.alias) and rng.random() < _ASKED_BY_ALIAS
    stops: list[Thing] = []
    followed: list[Fact] = []
    for hop in range(1, hops + 1):
        stops.append(here)
        if hop == hops and not answerable:
            known: Sequence[Fact] = [world.withheld[here]] if here in world.withheld else ()
        else:
            known = world.facts.get(here, ())
        if not known:
            return None
        fact = rng.choice(known)
        if fact.target in stops or any(fact.relation == earlier.relation for earlier in followed):
            return None
        followed.append(fact)
        here = fact.target
    return _Trail(start, by_alias, tuple(followed), answerable)


def _question_text(trail: _Trail, rng: random.Random) -> str:
    phrase = trail.start.alias if trail.by_alias else trail.start.mention
    may_close = True
    *earlier, last = (fact.relation for fact in trail.facts)
    for relation in earlier:
        template = rng.choice(_templates(relation.phrases, may_close=may_close))
        may_close = may_close and template.endswith("{x}")
        phrase = template.format(x=phrase)
    return _final(last, phrase, rng, may_close=may_close)


def _final(last: Relation, phrase: str, rng: random.Random, *, may_close: bool) -> str:
    name = rng.choice(_templates(last.phrases, may_close=may_close)).format(x=phrase)
    framed = rng.choice(PERSON_FRAMES if last.target == "person" else OTHER_FRAMES).format(x=name)
    return rng.choice([framed, *(t.format(x=phrase) for t in _templates(last.questions, may_close=may_close))])


def _templates(templates: Sequence[str], *, may_close: bool) -> list[str]:
    # "the city where the person who designed X was born" is English; a second clause closing around it is not.
    return [template for template in templates if may_close or template.rstrip("?").endswith("{x}")]
