"""Invents unique names for any number of entities, some of them on purpose alike."""

import random
from collections.abc import Mapping
from types import MappingProxyType

_ONSETS = (*"BDFGHKLMNPRSTV", "Br", "Dr", "Gr", "Kr", "St", "Tr", "Th")
_VOWELS = ("a", "e", "i", "o", "u", "ae", "au", "ei", "ia")
_MIDDLES = ("l", "ld", "lm", "m", "n", "nd", "r", "rd", "rm", "rs", "s", "st", "v", "z")
_ENDS = ("a", "e", "en", "er", "in", "is", "o", "ona", "or", "und", "holm", "mar", "stad", "vik")
_WOMEN = (
    "Ada",
    "Carla",
    "Daria",
    "Elin",
    "Greta",
    "Ines",
    "Jana",
    "Kaya",
    "Livia",
    "Mira",
    "Nadia",
    "Olga",
    "Petra",
    "Rosa",
)
_MEN = (
    "Anton",
    "Bram",
    "Cyril",
    "Edmund",
    "Farid",
    "Hugo",
    "Ivo",
    "Jonas",
    "Leon",
    "Marek",
    "Noel",
    "Oskar",
    "Rafael",
    "Yusuf",
)
_PATTERNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "city": ("{stem}",),
        "country": ("{root}ia", "{root}land"),
        "company": ("{stem} Works", "{stem} Dynamics", "{stem} Textiles", "{stem} Shipping"),
        "bridge": ("{stem} Bridge",),
        "tower": ("{stem} Tower",),
        "institute": ("{stem} Institute", "{stem} Academy", "{stem} College"),
        "river": ("{stem} River",),
        "mountain": ("Mount {stem}",),
        "novel": ("{stem} Nocturne", "{stem} Letters", "Winter in {stem}"),
        "currency": ("{stem} crown", "{stem} florin", "{stem} mark"),
        "ship": ("{stem} Star", "{stem} Swallow", "{stem} Fortune"),
        "harbour": ("Port {stem}", "{stem} Haven"),
        "island": ("{stem} Island", "Isle of {stem}"),
        "comet": ("Comet {stem}",),
        "observatory": ("{stem} Observatory",),
        "theorem": ("{stem} Theorem", "{stem} Lemma"),
        "alias": ("Silver {stem}", "Great {stem}", "Lucky {stem}"),
    }
)


def pronoun(title: str, kind: str) -> str:
    """Return the pronoun for an entity of this name."""
    if kind != "person":
        return "it"
    return "she" if title.split(maxsplit=1)[0] in _WOMEN else "he"


class Namer:
    """Hands out names, each of them once.

    Args:
        rng: The random stream.
        overlap: Share (0 to 1) of the names that reuse the stem of an earlier one.
    """

    def __init__(self, rng: random.Random, overlap: float) -> None:
        self._rng = rng
        self._overlap = overlap
        self._stems: list[tuple[str, str]] = []
        self._taken: set[str] = set()

    def name(self, kind: str, overlap: float | None = None) -> str:
        """Return a new name for an entity of this kind; ``overlap`` replaces the usual share for once."""
        overlap = self._overlap if overlap is None else overlap
        while True:
            name = self._candidate(kind, overlap)
            if name not in self._taken:
                self._taken.add(name)
                return name
            # A stem that is used up for this kind would be drawn for ever.
            overlap = 0.0

    def _candidate(self, kind: str, overlap: float) -> str:
        root, end = self._stem(overlap)
        if kind == "person":
            return f"{self._rng.choice(_WOMEN + _MEN)} {root}{end}"
        return self._rng.choice(_PATTERNS[kind]).format(root=root, stem=root + end)

    def _stem(self, overlap: float) -> tuple[str, str]:
        rng = self._rng
        if self._stems and rng.random() < overlap:
            return rng.choice(self._stems)
        # Longer stems before the short ones run out (4.6 million), so that any number of names can be had.
        syllables = rng.randint(1, 2) + len(self._stems) // 1_000_000
        body = "".join(rng.choice(_VOWELS) + rng.choice(_MIDDLES) for _ in range(syllables))
        stem = (rng.choice(_ONSETS) + body, rng.choice(_ENDS))
        self._stems.append(stem)
        return stem
