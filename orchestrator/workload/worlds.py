"""Invents a world: entities of the kinds of its domains, what is true of them, and what nobody wrote down."""

import random
from calendar import month_name
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from agent.tools.lexicon import KINDS, Relation
from agent.tools.relations import RELATIONS
from orchestrator.workload.document import GeneratorParameters
from orchestrator.workload.names import Namer
from orchestrator.workload.prose import mention

DOMAINS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "atlas": MappingProxyType(
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
        ),
        "voyages": MappingProxyType({"person": 5, "ship": 4, "harbour": 3, "island": 3}),
        "science": MappingProxyType({"person": 5, "comet": 3, "observatory": 3, "theorem": 3}),
    }
)
"""Domain → the kinds of its entities, each with how often it comes relative to the others."""

_WITHHELD_SHARE = 0.25
_FEWEST_FACTS = 3
_CALLED_BY_ALIAS = 0.5
_MONTHS = tuple(month_name)[1:]
_MEASURES: Mapping[str, tuple[int, int, int, str]] = MappingProxyType(
    {
        "length": (40, 1900, 1, "{} kilometres"),
        "height": (700, 5900, 1, "{} metres"),
        "tonnage": (800, 42_000, 1, "{:,} tonnes"),
        "population": (1_050, 480_000, 1, "{:,} inhabitants"),
        "citations": (1_050, 98_000, 1, "{:,} citations"),
        "depth": (40, 260, 10, "{:.1f} metres"),
        "period": (31, 9_900, 10, "{:.1f} years"),
        "aperture": (40, 390, 100, "{:.2f} metres"),
    }
)
"""Kind of a value → least, most, divisor and wording."""


@dataclass(frozen=True)
class Thing:
    """An entity, or a plain value."""

    title: str
    kind: str
    alias: str = field(default="", compare=False)
    """Another name, which has a fragment of its own."""

    @property
    def mention(self) -> str:
        """The name in the middle of a sentence."""
        return mention(self.title, self.kind)


@dataclass(frozen=True)
class Fact:
    """What is true of an entity."""

    relation: Relation
    target: Thing
    by_alias: bool = False
    """Whether the fragment calls the target by its other name."""

    @property
    def mention(self) -> str:
        """The target as the fragment has it."""
        return self.target.alias if self.by_alias else self.target.mention


@dataclass(frozen=True)
class World:
    """Entities, what their fragments say, and the one fact of some of them that stands nowhere."""

    entities: tuple[Thing, ...]
    distractors: tuple[Thing, ...]
    """Entities that nobody refers to and no question is about."""
    facts: Mapping[Thing, tuple[Fact, ...]]
    withheld: Mapping[Thing, Fact]


def kind_shares(domains: Sequence[str]) -> Mapping[str, int]:
    """The kinds of all these domains; one that they share comes as often as in the first of them."""
    shares: dict[str, int] = {}
    for domain in domains:
        shares = {**DOMAINS[domain], **shares} if shares else dict(DOMAINS[domain])
    return shares


def make_world(
    entity_count: int,
    distractor_count: int,
    alias_count: int,
    parameters: GeneratorParameters,
    namer: Namer,
    rng: random.Random,
) -> World:
    """Invent a world; ``alias_count`` of its entities have another name."""
    shares = kind_shares(parameters.domains)
    # One of each kind first, so that even the smallest world has every relation.
    kinds = list(shares)
    kinds += rng.choices(list(shares), list(shares.values()), k=entity_count - len(kinds))
    things = [Thing(namer.name(kind), kind) for kind in kinds]
    for number in rng.sample(range(entity_count), alias_count) if alias_count else ():
        things[number] = Thing(things[number].title, things[number].kind, namer.name("alias"))
    by_kind = {kind: [thing for thing in things if thing.kind == kind] for kind in shares}
    distractor_kinds = rng.choices(list(shares), list(shares.values()), k=distractor_count) if distractor_count else []
    distractors = [Thing(namer.name(kind, overlap=1.0), kind) for kind in distractor_kinds]
    relations = [relation for relation in RELATIONS if relation.domain in parameters.domains]
    facts = {thing: tuple(_facts_of(thing, relations, by_kind, namer, rng)) for thing in (*things, *distractors)}
    withheld = _withhold(things, facts, rng) if parameters.unanswerable_rate else {}
    return World(tuple(things), tuple(distractors), facts, withheld)


def _facts_of(
    entity: Thing,
    relations: Sequence[Relation],
    by_kind: Mapping[str, Sequence[Thing]],
    namer: Namer,
    rng: random.Random,
) -> Iterator[Fact]:
    for relation in relations:
        if entity.kind not in relation.subjects:
            continue
        target = _target_of(relation, entity, by_kind, namer, rng)
        if target is not None:
            by_alias = bool(target.alias) and rng.random() < _CALLED_BY_ALIAS
            yield Fact(relation, target, by_alias)


def _target_of(
    relation: Relation, entity: Thing, by_kind: Mapping[str, Sequence[Thing]], namer: Namer, rng: random.Random
) -> Thing | None:
    if not KINDS[relation.target].pronouns:
        return Thing(_value(relation.target, namer, rng), relation.target)
    candidates = by_kind[relation.target]
    if len(candidates) == 1 and candidates[0] == entity:
        return None
    while (target := rng.choice(candidates)) == entity:
        pass
    return target


def _withhold(things: Sequence[Thing], facts: dict[Thing, tuple[Fact, ...]], rng: random.Random) -> dict[Thing, Fact]:
    """Take a fact away from some of the entities that have enough of them."""
    withheld = {}
    for thing in things:
        if len(facts[thing]) >= _FEWEST_FACTS and rng.random() < _WITHHELD_SHARE:
            withheld[thing] = rng.choice(facts[thing])
            facts[thing] = tuple(fact for fact in facts[thing] if fact != withheld[thing])
    return withheld


def _value(kind: str, namer: Namer, rng: random.Random) -> str:
    if kind == "year":
        return str(rng.randint(1805, 1995))
    if kind == "date":
        return f"{rng.randint(1, 28)} {rng.choice(_MONTHS)} {rng.randint(1805, 1995)}"
    if kind in _MEASURES:
        least, most, scale, wording = _MEASURES[kind]
        return wording.format(rng.randint(least, most) / scale if scale > 1 else rng.randint(least, most))
    return namer.name(kind)
