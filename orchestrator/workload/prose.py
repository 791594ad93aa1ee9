"""Turns the facts about one entity into a paragraph: varied statements, filler, and sentences that only look alike."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from agent.tools.lexicon import KINDS, Relation
from orchestrator.workload.names import pronoun

_OPENERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "person": (
            "{s} is known for a careful hand, a short temper and a long memory.",
            "{s} keeps out of the public eye and answers letters by return of post.",
            "Few people of the trade are quoted as often, or as wrongly, as {s}.",
        ),
        "city": (
            "{s} wakes early, when the market opens and the first trams leave the depot.",
            "{s} is older than its walls suggest and younger than its people claim.",
            "Guide books devote two pages to {s} and forget the best bakery.",
        ),
        "country": (
            "{s} is small on the map and long on history.",
            "{s} has changed its flag four times and its anthem only once.",
            "Most visitors reach {s} by rail and leave it with a jar of honey.",
        ),
        "company": (
            "{s} began with three looms, a borrowed shed and a great deal of patience.",
            "{s} is better known for its apprentices than for its goods.",
            "Few households are without something made or sold by {s}.",
        ),
        "bridge": (
            "{s} is a favourite of painters and of those who like to fish from a railing.",
            "{s} carries trams, carts and a footway that is closed in winter.",
            "On windy days {s} hums like an organ and can be heard across the valley.",
        ),
        "tower": (
            "{s} can be seen from a day's walk away when the air is clear.",
            "{s} has 312 steps, no lift and a guard who counts the visitors.",
            "Pigeons have made {s} their own, in spite of many complaints.",
        ),
        "institute": (
            "{s} is famous for its library, which never closes before midnight.",
            "{s} admits forty students a year and turns away ten times as many.",
            "The lectures at {s} are open to everyone who brings a chair.",
        ),
        "river": (
            "{s} freezes over in hard winters, to the delight of children.",
            "{s} is rich in trout and poor in bathing places.",
            "Barges have used {s} for centuries, mostly for timber and salt.",
        ),
        "mountain": (
            "{s} keeps its snow until June and its clouds until noon.",
            "{s} looks gentle from the north and steep from the south.",
            "Shepherds tell many stories about {s}, few of them twice.",
        ),
        "novel": (
            "{s} divided its first critics and united its first readers.",
            "{s} is read in schools to this day, though seldom to the end.",
            "No page of {s} is without weather, and no chapter without a letter.",
        ),
        "ship": (
            "{s} smells of tar, coffee and wet rope, as a ship should.",
            "{s} has outlived three owners and two figureheads.",
            "Nobody who served on {s} speaks of the galley without a shudder.",
        ),
        "harbour": (
            "{s} has more gulls than inhabitants and more nets than both.",
            "{s} lights its beacon an hour before dusk, whatever the weather.",
            "The fish market of {s} is over before most people have had breakfast.",
        ),
        "island": (
            "{s} has one road, two churches and a quarrel about both.",
            "{s} is green in spring, brown in summer and grey for the rest of the year.",
            "Sheep came to {s} long before people did.",
        ),
        "comet": (
            "{s} is a faint smudge in a small telescope and a grand sight in a large one.",
            "{s} has a short tail and a long list of would-be owners.",
            "Few evenings in living memory drew such crowds as the last visit of {s}.",
        ),
        "observatory": (
            "{s} stands far from any street lamp and close to a very good inn.",
            "{s} keeps its old brass instruments in working order.",
            "Visitors to {s} are asked to bring a coat and to leave their lanterns at the gate.",
        ),
        "theorem": (
            "{s} takes one line to state and forty pages to believe.",
            "{s} is set in examinations by teachers who never understood it.",
            "Many a false proof of {s} has been published, some of them twice.",
        ),
    }
)
_FILLERS = (
    "A commemorative stamp was issued some years ago and sold out within a week.",
    "A small exhibition on the subject tours the provinces every other summer.",
    "An entry in the national register is being prepared by two retired teachers.",
    "Several photographs from the early days survive in private collections.",
    "The local newspaper once ran a long series of articles on the subject.",
    "Much of what is told about those years cannot be proved any more.",
)
_TAILS = (
    "",
    "",
    "",
    "",
    ", as the records show",
    ", according to most sources",
    ", a detail that guides like to repeat",
)
_LOOK_ALIKES: Mapping[str, str] = MappingProxyType(
    {
        "person": "{title} the Elder",
        "city": "Old {title}",
        "country": "Old {title}",
        "river": "the little {title}",
        "mountain": "Little {title}",
        "novel": "the first part of {title}",
        "company": "the former {title}",
        "bridge": "the former {title}",
        "tower": "the former {title}",
        "institute": "the former {title}",
        "ship": "the former {title}",
        "harbour": "Old {title}",
        "island": "Little {title}",
        "comet": "Little {title}",
        "observatory": "the former {title}",
        "theorem": "the weak {title}",
    }
)


@dataclass(frozen=True)
class Style:
    """How a paragraph is written.

    Attributes:
        opener: Whether it begins with a sentence that states nothing.
        sentences: Least and most sentences, as far as filler can make up for missing facts.
        tails: What may follow a fact, as often as it stands here.
        refers_back: Whether pronouns and common nouns may stand for the entity.
    """

    opener: bool
    sentences: tuple[int, int]
    tails: tuple[str, ...]
    refers_back: bool


STYLES: Mapping[str, Style] = MappingProxyType(
    {
        "guide": Style(opener=True, sentences=(5, 6), tails=_TAILS, refers_back=True),
        "register": Style(opener=False, sentences=(0, 0), tails=("",), refers_back=False),
        "chronicle": Style(opener=True, sentences=(8, 10), tails=tuple(filter(None, _TAILS)), refers_back=True),
    }
)
"""All styles by name: a talkative guide book, a bare register, a long-winded chronicle."""


@dataclass(frozen=True)
class Statement:
    """A fact about the entity of a paragraph: its relation, and the object as it is mentioned in a sentence."""

    relation: Relation
    target: str


def mention(title: str, kind: str) -> str:
    """Name an entity or value in the middle of a sentence: ``Aurora Bridge`` → ``the Aurora Bridge``."""
    return KINDS[kind].article + title


def paragraph(
    title: str,
    kind: str,
    facts: Sequence[Statement],
    decoys: Sequence[Statement],
    rng: random.Random,
    style: Style = STYLES["guide"],
) -> str:
    """Write an opener, the facts in a random order, filler if there is room, the decoys last.

    Decoys are stated of somebody of nearly the same name; they come last because a pronoun after them would mislead a
    human reader too.
    """
    full = mention(title, kind)
    sentences = [_capital(rng.choice(_OPENERS[kind]).format(s=full))] if style.opener else []
    for fact in rng.sample(facts, len(facts)):
        template = rng.choice(fact.relation.statements)
        references = _references(title, kind, leads=template.startswith("{s}")) if style.refers_back else [full]
        sentences.append(_sentence(template, rng.choice(references), fact.target, style, rng))
    missing = rng.randint(*style.sentences) - len(sentences) - len(decoys)
    sentences += rng.sample(_FILLERS, min(len(_FILLERS), max(0, missing)))
    look_alike = _LOOK_ALIKES[kind].format(title=title)
    for decoy in decoys:
        sentences.append(_sentence(rng.choice(decoy.relation.statements), look_alike, decoy.target, style, rng))
    return " ".join(sentences)


def _references(title: str, kind: str, *, leads: bool) -> list[str]:
    short = title.rsplit(maxsplit=1)[-1] if kind == "person" else KINDS[kind].common_noun
    references = [mention(title, kind), short]
    if leads:
        references.append(pronoun(title, kind))
    return references


def _sentence(template: str, subject: str, target: str, style: Style, rng: random.Random) -> str:
    return f"{_capital(template.format(s=subject, o=target))}{rng.choice(style.tails)}."


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
