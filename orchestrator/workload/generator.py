"""Makes a Gaia document: an invented world, a paragraph for each entity, multi-hop questions with known answers."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.fragments import Fragment
from agent.tools.relations import OTHER_NAME
from orchestrator.workload.document import GaiaDocument, GeneratorParameters, Header
from orchestrator.workload.names import Namer
from orchestrator.workload.prose import STYLES, Statement, paragraph
from orchestrator.workload.questions import AskedQuestion, ask
from orchestrator.workload.worlds import DOMAINS, Thing, World, kind_shares, make_world
from protocols.errors import ConfigError

_MOST_HOPS = 5
_LARGEST_REGION = 2000
"""Fragments of one region. Facts stay inside a region, so memory is bounded by it, not by the document."""

Role = Literal["entity", "distractor", "alias"]


@dataclass(frozen=True)
class WrittenFragment:
    """A fragment, and what it is there for."""

    fragment: Fragment
    kind: str
    role: Role


def generate(parameters: GeneratorParameters, rng: random.Random) -> GaiaDocument:
    """Make a document in memory; the same parameters and the same state of ``rng`` make the same document.

    Raises:
        ConfigError: a parameter is out of range, or the world is too small for that many distinct questions.
    """
    pieces = list(stream(parameters, rng))
    fragments = tuple(piece.fragment for piece in pieces if isinstance(piece, WrittenFragment))
    questions = tuple(piece.question for piece in pieces if isinstance(piece, AskedQuestion))
    return GaiaDocument(header=header(parameters), fragments=fragments, questions=questions)


def header(parameters: GeneratorParameters) -> Header:
    """The first line of the document with these parameters."""
    return Header(
        fragment_count=parameters.fragment_count, question_count=parameters.question_count, generator=parameters
    )


def stream(parameters: GeneratorParameters, rng: random.Random) -> Iterator[WrittenFragment | AskedQuestion]:
    """Make the same document piece by piece, region after region: its fragments, then its questions.

    Raises:
        ConfigError: as for :func:`generate`; a world that is too small is noticed only on the way.
    """
    _check(parameters)
    namer = Namer(rng, parameters.name_overlap)
    total = parameters.fragment_count
    regions = -(-total // _LARGEST_REGION)
    for region in range(regions):
        first, end = (total * number // regions for number in (region, region + 1))
        asked, asked_end = (parameters.question_count * number // regions for number in (region, region + 1))
        counts = _counts(end - first, parameters)
        world = make_world(*counts, parameters, namer, rng)
        ids: dict[str, str] = {}
        for piece in _write_fragments(world, first, parameters, rng):
            ids[piece.fragment.title] = piece.fragment.fragment_id
            yield piece
        if asked_end > asked:
            yield from ask(world, ids, asked_end - asked, asked, parameters, rng)


def _counts(size: int, parameters: GeneratorParameters) -> tuple[int, int, int]:
    """How many of ``size`` fragments are about entities, distractors and aliases."""
    distractors, aliases = round(size * parameters.distractor_rate), round(size * parameters.alias_rate)
    return size - distractors - aliases, distractors, aliases


def _check(parameters: GeneratorParameters) -> None:
    for name, known in (("domains", DOMAINS), ("styles", STYLES)):
        chosen: Sequence[str] = getattr(parameters, name)
        unknown = [one for one in chosen if one not in known]
        if unknown or not chosen:
            raise ConfigError(f"expected {name} out of {', '.join(known)}, got {', '.join(unknown) or 'none'}")
    shares = {name: getattr(parameters, name) for name in ("name_overlap", "decoy_rate", "distractor_rate")}
    shares |= {name: getattr(parameters, name) for name in ("alias_rate", "unanswerable_rate")}
    least = len(kind_shares(parameters.domains))
    if (wrong := next((name for name, share in shares.items() if not 0 <= share <= 1), None)) is not None:
        message = f"expected shares from 0 to 1, got {shares[wrong]:g} as {wrong}"
    elif parameters.fragment_count < least:
        message = f"expected at least {least} fragments, got {parameters.fragment_count}"
    elif parameters.question_count < 1:
        message = f"expected at least 1 question, got {parameters.question_count}"
    elif not 1 <= parameters.min_hops <= parameters.max_hops <= _MOST_HOPS:
        message = f"expected 1 to {_MOST_HOPS} hops, got {parameters.min_hops} to {parameters.max_hops}"
    else:
        smallest = min(parameters.fragment_count, _LARGEST_REGION // 2)
        entities, _, aliases = _counts(smallest, parameters)
        if least <= entities >= aliases:
            return
        message = (
            f"expected at least {max(least, aliases)} fragments about entities, got {entities} out of {smallest} "
            f"besides distractors and aliases; lower distractor_rate or alias_rate"
        )
    raise ConfigError(message)


def _write_fragments(
    world: World, first: int, parameters: GeneratorParameters, rng: random.Random
) -> Iterator[WrittenFragment]:
    roles: list[tuple[Role, Thing]] = [("entity", thing) for thing in world.entities]
    extra: list[tuple[Role, Thing]] = [("distractor", thing) for thing in world.distractors]
    extra += [("alias", thing) for thing in world.entities if thing.alias]
    if extra:
        roles += extra
        rng.shuffle(roles)
    width = max(4, len(str(parameters.fragment_count)))
    for number, (role, thing) in enumerate(roles, start=first + 1):
        title, text = (thing.alias, _redirect(thing)) if role == "alias" else _article(thing, world, parameters, rng)
        fragment = Fragment(fragment_id=f"f-{number:0{width}}", title=title, text=text)
        yield WrittenFragment(fragment, thing.kind, role)


def _redirect(thing: Thing) -> str:
    return f"{OTHER_NAME.statements[0].format(s=thing.alias, o=thing.mention)}."


def _article(thing: Thing, world: World, parameters: GeneratorParameters, rng: random.Random) -> tuple[str, str]:
    facts = [Statement(fact.relation, fact.mention) for fact in world.facts[thing]]
    decoys = [_decoy(thing, world, rng)] if rng.random() < parameters.decoy_rate else []
    styles = parameters.styles
    style = STYLES[styles[0] if len(styles) == 1 else rng.choice(styles)]
    return thing.title, paragraph(thing.title, thing.kind, facts, decoys, rng, style)


def _decoy(entity: Thing, world: World, rng: random.Random) -> Statement:
    truth = rng.choice(world.facts[entity])
    others = rng.sample(world.entities, min(8, len(world.entities)))
    targets = (fact.target for other in others for fact in world.facts[other])
    wrong = next((one for one in targets if one.kind == truth.target.kind and one != truth.target), truth.target)
    return Statement(truth.relation, wrong.mention)
