"""Makes a Gaia document: an invented world, a paragraph for each entity, multi-hop questions with known answers."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from agent.fragments import Fragment
from agent.tools.lexicon import KINDS, OTHER_FRAMES, PERSON_FRAMES, Relation
from agent.tools.relations import RELATIONS
from orchestrator.workload.document import GaiaDocument, GaiaQuestion, GeneratorParameters, Header
from orchestrator.workload.grade import normalise
from orchestrator.workload.names import Namer
from orchestrator.workload.prose import Statement, mention, paragraph
from protocols.errors import ConfigError

_KIND_SHARES: Mapping[str, int] = MappingProxyType(
    {
        "person": 6,
        "city": 4,
        "company": 3,
        "bridge": 2,
        "institute": 2,
        "river": 2,
        "novel": 2,
        "tower": 1,
        "mountain": 1,
        "country": 1,
    }
)
_MOST_HOPS = 5
_TRIES_PER_QUESTION = 200


@dataclass(frozen=True)
class _Thing:
    title: str
    kind: str

    @property
    def mention(self) -> str:
        return mention(self.title, self.kind)


@dataclass(frozen=True)
class _World:
    """Entities and what is true of them; ``facts`` maps an entity to its (relation, object) pairs."""

    entities: tuple[_Thing, ...]
    facts: Mapping[_Thing, tuple[tuple[Relation, _Thing], ...]]


@dataclass(frozen=True)
class _Trail:
    """A walk through the world: the entities whose fragments are needed, the relations followed, and the answer."""

    stops: tuple[_Thing, ...]
    relations: tuple[Relation, ...]
    answer: _Thing

    @property
    def key(self) -> tuple[_Thing, tuple[str, ...]]:
        return self.stops[0], tuple(relation.name for relation in self.relations)


def generate(parameters: GeneratorParameters, rng: random.Random) -> GaiaDocument:
    """Make a document; the same parameters and the same state of ``rng`` make the same document.

    Raises:
        ConfigError: a parameter is out of range, or the world is too small for that many distinct questions.
    """
    _check(parameters)
    world = _make_world(parameters, rng)
    fragments = _write_fragments(world, parameters.decoy_rate, rng)
    questions = _ask(world, fragments, parameters, rng)
    header = Header(fragment_count=len(fragments), question_count=len(questions), generator=parameters)
    return GaiaDocument(header=header, fragments=fragments, questions=questions)


def _check(parameters: GeneratorParameters) -> None:
    if parameters.fragment_count < len(_KIND_SHARES):
        message = f"expected at least {len(_KIND_SHARES)} fragments, got {parameters.fragment_count}"
    elif parameters.question_count < 1:
        message = f"expected at least 1 question, got {parameters.question_count}"
    elif not 1 <= parameters.min_hops <= parameters.max_hops <= _MOST_HOPS:
        message = f"expected 1 to {_MOST_HOPS} hops, got {parameters.min_hops} to {parameters.max_hops}"
    elif not (0 <= parameters.name_overlap <= 1 and 0 <= parameters.decoy_rate <= 1):
        message = f"expected shares from 0 to 1, got {parameters.name_overlap:g} and {parameters.decoy_rate:g}"
    else:
        return
    raise ConfigError(message)


def _make_world(parameters: GeneratorParameters, rng: random.Random) -> _World:
    namer = Namer(rng, parameters.name_overlap)
    # One of each kind first, so that even the smallest world has every relation.
    kinds = list(_KIND_SHARES)
    kinds += rng.choices(list(_KIND_SHARES), list(_KIND_SHARES.values()), k=parameters.fragment_count - len(kinds))
    entities = tuple(_Thing(namer.name(kind), kind) for kind in kinds)
    by_kind = {kind: [entity for entity in entities if entity.kind == kind] for kind in _KIND_SHARES}
    facts = {entity: tuple(_facts_of(entity, by_kind, namer, rng)) for entity in entities}
    return _World(entities, facts)


def _facts_of(
    entity: _Thing, by_kind: Mapping[str, Sequence[_Thing]], namer: Namer, rng: random.Random
) -> list[tuple[Relation, _Thing]]:
    facts: list[tuple[Relation, _Thing]] = []
    for relation in RELATIONS:
        if entity.kind not in relation.subjects:
            continue
        target = _target_of(relation, entity, by_kind, namer, rng)
        if target is not None:
            facts.append((relation, target))
    return facts


def _target_of(
    relation: Relation, entity: _Thing, by_kind: Mapping[str, Sequence[_Thing]], namer: Namer, rng: random.Random
) -> _Thing | None:
    if not KINDS[relation.target].pronouns:
        return _Thing(_value(relation.target, namer, rng), relation.target)
    candidates = by_kind[relation.target]
    if len(candidates) == 1 and candidates[0] == entity:
        return None
    while (target := rng.choice(candidates)) == entity:
        pass
    return target


def _value(kind: str, namer: Namer, rng: random.Random) -> str:
    match kind:
        case "year":
            return str(rng.randint(1805, 1995))
        case "length":
            return f"{rng.randint(40, 1900)} kilometres"
        case "height":
            return f"{rng.randint(700, 5900)} metres"
        case _:
            return namer.name(kind)


def _write_fragments(world: _World, decoy_rate: float, rng: random.Random) -> tuple[Fragment, ...]:
    width = max(4, len(str(len(world.entities))))
    fragments = []
    for number, entity in enumerate(world.entities, start=1):
        facts = [Statement(relation, target.mention) for relation, target in world.facts[entity]]
        decoys = [_decoy(entity, world, rng)] if rng.random() < decoy_rate else []
        text = paragraph(entity.title, entity.kind, facts, decoys, rng)
        fragments.append(Fragment(fragment_id=f"f-{number:0{width}}", title=entity.title, text=text))
    return tuple(fragments)


def _decoy(entity: _Thing, world: _World, rng: random.Random) -> Statement:
    relation, truth = rng.choice(world.facts[entity])
    others = rng.sample(world.entities, min(8, len(world.entities)))
    targets = (target for other in others for _, target in world.facts[other])
    wrong = next((target for target in targets if target.kind == truth.kind and target != truth), truth)
    return Statement(relation, wrong.mention)


def _ask(
    world: _World, fragments: Sequence[Fragment], parameters: GeneratorParameters, rng: random.Random
) -> tuple[GaiaQuestion, ...]:
    ids = {fragment.title: fragment.fragment_id for fragment in fragments}
    width = max(4, len(str(parameters.question_count)))
    spread = parameters.max_hops - parameters.min_hops + 1
    asked: set[tuple[_Thing, tuple[str, ...]]] = set()
    questions: list[GaiaQuestion] = []
    for _ in range(parameters.question_count * _TRIES_PER_QUESTION):
        hops = parameters.min_hops + len(questions) % spread
        trail = _walk(world, hops, rng)
        if trail is None or trail.key in asked:
            continue
        text = _question_text(trail, rng)
        # A question that names its own answer would be right without a single fragment.
        if normalise(trail.answer.title) in normalise(text):
            continue
        asked.add(trail.key)
        questions.append(
            GaiaQuestion(
                question_id=f"q-{len(questions) + 1:0{width}}",
                question=text,
                answer=trail.answer.title,
                fragments=tuple(ids[stop.title] for stop in trail.stops),
                hops=hops,
            )
        )
        if len(questions) == parameters.question_count:
            return tuple(questions)
    message = (
        f"expected {parameters.question_count} distinct questions of {parameters.min_hops} to {parameters.max_hops} "
        f"hops, got {len(questions)} out of {parameters.fragment_count} fragments; ask for more fragments or for less"
    )
    raise ConfigError(message)


def _walk(world: _World, hops: int, rng: random.Random) -> _Trail | None:
    here = rng.choice(world.entities)
    stops: list[_Thing] = []
    relations: list[Relation] = []
    for _ in range(hops):
        stops.append(here)
        facts = world.facts.get(here)
        if not facts:
            return None
        relation, target = rng.choice(facts)
        if target in stops or relation in relations:
            return None
        relations.append(relation)
        here = target
    return _Trail(tuple(stops), tuple(relations), here)


def _question_text(trail: _Trail, rng: random.Random) -> str:
    phrase = trail.stops[0].mention
    may_close = True
    for relation in trail.relations[:-1]:
        template = rng.choice(_templates(relation.phrases, may_close=may_close))
        may_close = may_close and template.endswith("{x}")
        phrase = template.format(x=phrase)
    last = trail.relations[-1]
    name = rng.choice(_templates(last.phrases, may_close=may_close)).format(x=phrase)
    framed = rng.choice(PERSON_FRAMES if last.target == "person" else OTHER_FRAMES).format(x=name)
    return rng.choice([framed, *(t.format(x=phrase) for t in _templates(last.questions, may_close=may_close))])


def _templates(templates: Sequence[str], *, may_close: bool) -> list[str]:
    # "the city where the person who designed X was born" is English; a second clause closing around it is not.
    return [template for template in templates if may_close or template.rstrip("?").endswith("{x}")]
