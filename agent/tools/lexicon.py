"""The terms in which the language of the Gaia document is written down: kinds of entities, relations, question frames.

The generator writes with these templates and the tools read with them, so neither knows a phrase that the other does
not. In a statement ``{s}`` is the subject and ``{o}`` the object; in a phrase or question ``{x}`` is what is asked
about.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Kind:
    """A kind of entity, or of plain value when it has no common noun.

    Attributes:
        name: What facts and questions call it, e.g. ``bridge``.
        article: Put before a title of this kind, with its blank: ``the`` Aurora Bridge, but plain Karsund.
        pronouns: What may stand for the subject in its own fragment.
        common_noun: A noun phrase that may do so too, e.g. ``the bridge``; empty for persons and plain values.
    """

    name: str
    article: str = ""
    pronouns: tuple[str, ...] = ("it",)
    common_noun: str = ""


@dataclass(frozen=True)
class Relation:
    """A functional relation: each subject has at most one object.

    Attributes:
        name: The relation's name in triples.
        subjects: Kinds that have it.
        target: Kind of its object.
        statements: Sentences, without full stop, that state it.
        phrases: Noun phrases that name the object; at least one has nothing after ``{x}``, so it nests at any depth.
        questions: Questions for the object.
        domain: The part of the world that it belongs to; a document is written about one or several.
    """

    name: str
    subjects: tuple[str, ...]
    target: str
    statements: tuple[str, ...]
    phrases: tuple[str, ...]
    questions: tuple[str, ...]
    domain: str = "atlas"


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("person", pronouns=("he", "she")),
            Kind("city", common_noun="the city"),
            Kind("country", common_noun="the country"),
            Kind("company", common_noun="the company"),
            Kind("bridge", article="the ", common_noun="the bridge"),
            Kind("tower", article="the ", common_noun="the tower"),
            Kind("institute", article="the ", common_noun="the institute"),
            Kind("river", article="the ", common_noun="the river"),
            Kind("mountain", common_noun="the mountain"),
            Kind("novel", common_noun="the novel"),
            Kind("ship", article="the ", common_noun="the ship"),
            Kind("harbour", common_noun="the harbour"),
            Kind("island", common_noun="the island"),
            Kind("comet", common_noun="the comet"),
            Kind("observatory", article="the ", common_noun="the observatory"),
            Kind("theorem", article="the ", common_noun="the theorem"),
            Kind("year", pronouns=()),
            Kind("length", pronouns=()),
            Kind("height", pronouns=()),
            Kind("currency", article="the ", pronouns=()),
            Kind("date", pronouns=()),
            Kind("tonnage", pronouns=()),
            Kind("population", pronouns=()),
            Kind("depth", pronouns=()),
            Kind("period", pronouns=()),
            Kind("aperture", pronouns=()),
            Kind("citations", pronouns=()),
            Kind("name", pronouns=()),
        )
    }
)
"""All kinds by name; those without a pronoun are plain values and have no fragment of their own."""

PERSON_FRAMES: tuple[str, ...] = ("Who is {x}?", "Name {x}.")
"""Questions for a person that take any noun phrase."""

OTHER_FRAMES: tuple[str, ...] = ("What is {x}?", "Name {x}.")
"""Questions for anything else that take any noun phrase."""
