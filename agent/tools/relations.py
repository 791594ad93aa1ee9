"""The relations of the Gaia document, each with the English that states it and asks for it."""

from agent.tools.lexicon import KINDS, Relation
from agent.tools.relations_science import SCIENCE
from agent.tools.relations_voyages import VOYAGES

_PERSONS = (
    Relation(
        "birthplace",
        ("person",),
        "city",
        ("{s} was born in {o}", "{s} is a native of {o}", "{s} came into the world in {o}"),
        ("the birthplace of {x}", "the native city of {x}", "the city where {x} was born"),
        ("Where was {x} born?", "In which city was {x} born?", "Of which city is {x} a native?"),
    ),
    Relation(
        "alma_mater",
        ("person",),
        "institute",
        ("{s} studied at {o}", "{s} holds a degree from {o}", "{s} received a diploma from {o}"),
        ("the alma mater of {x}", "the institute at which {x} studied"),
        ("Where did {x} study?", "From which institute does {x} hold a degree?"),
    ),
    Relation(
        "employer",
        ("person",),
        "company",
        ("{s} works for {o}", "{s} is employed by {o}", "{o} employs {s} as a consultant"),
        ("the employer of {x}", "the company that employs {x}"),
        ("For which company does {x} work?", "Which company employs {x}?"),
    ),
    Relation(
        "mentor",
        ("person",),
        "person",
        ("{s} learned the trade from {o}", "{s} was taught by {o}", "{o} was the mentor of {s}"),
        ("the mentor of {x}", "the teacher of {x}", "the person who taught {x}"),
        ("Who taught {x}?", "From whom did {x} learn the trade?"),
    ),
)

_ORGANISATIONS = (
    Relation(
        "founder",
        ("company", "institute"),
        "person",
        ("{s} was founded by {o}", "{o} is the founder of {s}", "{s} was set up by {o}"),
        ("the founder of {x}", "the person who founded {x}"),
        ("Who founded {x}?", "Who set up {x}?", "By whom was {x} founded?"),
    ),
    Relation(
        "founding_year",
        ("company", "institute"),
        "year",
        ("{s} was founded in {o}", "{s} opened its doors in {o}", "{s} dates from {o}"),
        ("the founding year of {x}", "the year in which {x} was founded"),
        ("When was {x} founded?", "In which year did {x} open its doors?"),
    ),
    Relation(
        "headquarters",
        ("company",),
        "city",
        ("{s} has its headquarters in {o}", "{s} is based in {o}", "The head office of {s} is in {o}"),
        ("the seat of {x}", "the city where {x} is based"),
        ("Where is {x} based?", "In which city does {x} have its headquarters?"),
    ),
    Relation(
        "supplier",
        ("company",),
        "company",
        (
            "{s} buys most of its parts from {o}",
            "{o} is the main supplier of {s}",
            "{s} depends on deliveries from {o}",
        ),
        ("the main supplier of {x}", "the company that supplies {x}"),
        ("Which company supplies {x}?", "From which company does {x} buy most of its parts?"),
    ),
    Relation(
        "director",
        ("institute",),
        "person",
        ("{s} is headed by {o}", "{o} directs {s}", "{s} has {o} as its director"),
        ("the director of {x}", "the head of {x}", "the person who directs {x}"),
        ("Who directs {x}?", "By whom is {x} headed?"),
    ),
)

_BUILDINGS = (
    Relation(
        "designer",
        ("bridge", "tower"),
        "person",
        ("{s} was designed by {o}", "{o} drew up the plans for {s}", "The design of {s} is the work of {o}"),
        ("the designer of {x}", "the person who designed {x}"),
        ("Who designed {x}?", "Who drew up the plans for {x}?"),
    ),
    Relation(
        "river_crossed",
        ("bridge",),
        "river",
        ("{s} crosses {o}", "{s} carries traffic over {o}", "Below {s} flows {o}"),
        ("the river under {x}", "the river that {x} crosses"),
        ("Which river does {x} cross?", "Which river flows below {x}?"),
    ),
    Relation(
        "opening_year",
        ("bridge", "tower"),
        "year",
        ("{s} was opened in {o}", "{s} has been open to the public since {o}", "Work on {s} ended in {o}"),
        ("the opening year of {x}", "the year in which {x} was opened"),
        ("When was {x} opened?", "In which year was {x} opened?"),
    ),
    Relation(
        "site",
        ("tower", "institute"),
        "city",
        ("{s} stands in {o}", "{s} is a landmark of {o}", "Visitors find {s} in {o}"),
        ("the home city of {x}", "the city that is home to {x}", "the city where {x} stands"),
        ("In which city does {x} stand?", "Which city is home to {x}?"),
    ),
)

_PLACES = (
    Relation(
        "river",
        ("city",),
        "river",
        ("{s} lies on {o}", "{s} grew up along {o}", "{o} runs through {s}"),
        ("the river that runs through {x}", "the river on which {x} lies"),
        ("On which river lies {x}?", "On which river does {x} lie?", "Which river runs through {x}?"),
    ),
    Relation(
        "country",
        ("city", "mountain"),
        "country",
        ("{s} belongs to {o}", "{s} is part of {o}", "{s} is situated in {o}"),
        ("the country of {x}", "the country to which {x} belongs"),
        ("In which country is {x}?", "To which country does {x} belong?"),
    ),
    Relation(
        "mayor",
        ("city",),
        "person",
        ("{s} is governed by {o}", "{o} is the mayor of {s}", "{s} elected {o} as its mayor"),
        ("the mayor of {x}", "the person who governs {x}"),
        ("Who governs {x}?", "By whom is {x} governed?"),
    ),
    Relation(
        "twin_city",
        ("city",),
        "city",
        ("{s} is twinned with {o}", "{s} keeps a partnership with {o}", "The twin city of {s} is {o}"),
        ("the twin city of {x}", "the partner city of {x}"),
        ("With which city is {x} twinned?", "With which city does {x} keep a partnership?"),
    ),
    Relation(
        "capital",
        ("country",),
        "city",
        ("{s} is ruled from {o}", "{o} is the capital of {s}", "The capital of {s} is {o}"),
        ("the capital of {x}", "the city from which {x} is ruled"),
        ("From which city is {x} ruled?", "Which city is the capital of {x}?"),
    ),
    Relation(
        "president",
        ("country",),
        "person",
        ("{s} is led by {o}", "{o} is the president of {s}", "{s} chose {o} as its president"),
        ("the president of {x}", "the person who leads {x}"),
        ("Who leads {x}?", "By whom is {x} led?"),
    ),
    Relation(
        "longest_river",
        ("country",),
        "river",
        ("The longest river of {s} is {o}", "{s} has no longer river than {o}"),
        ("the longest river of {x}", "the longest river in {x}"),
        ("Which river is the longest in {x}?",),
    ),
    Relation(
        "currency",
        ("country",),
        "currency",
        ("{s} pays in {o}", "The currency of {s} is {o}", "{s} uses {o} as its currency"),
        ("the currency of {x}", "the currency used in {x}"),
        ("Which currency does {x} use?", "In which currency does {x} pay?"),
    ),
)

_NATURE = (
    Relation(
        "source",
        ("river",),
        "mountain",
        ("{s} rises on {o}", "{s} has its source on {o}", "The source of {s} is on {o}"),
        ("the source mountain of {x}", "the mountain on which {x} rises"),
        ("On which mountain does {x} rise?", "On which mountain is the source of {x}?"),
    ),
    Relation(
        "mouth",
        ("river",),
        "river",
        ("{s} flows into {o}", "{s} is a tributary of {o}", "{o} takes in the water of {s}"),
        ("the river that takes in the water of {x}", "the river into which {x} flows"),
        ("Into which river does {x} flow?", "Of which river is {x} a tributary?"),
    ),
    Relation(
        "length",
        ("river",),
        "length",
        ("{s} is {o} long", "{s} has a length of {o}", "From source to mouth {s} measures {o}"),
        ("the length of {x}",),
        ("How long is {x}?",),
    ),
    Relation(
        "first_climber",
        ("mountain",),
        "person",
        ("{s} was first climbed by {o}", "{o} was the first to climb {s}", "The first ascent of {s} was made by {o}"),
        ("the first climber of {x}", "the person who first climbed {x}"),
        ("Who first climbed {x}?", "Who was the first to climb {x}?"),
    ),
    Relation(
        "height",
        ("mountain",),
        "height",
        ("{s} is {o} high", "{s} has a height of {o}", "The summit of {s} is at {o}"),
        ("the height of {x}",),
        ("How high is {x}?", "At which height is the summit of {x}?"),
    ),
)

_BOOKS = (
    Relation(
        "author",
        ("novel",),
        "person",
        ("{s} was written by {o}", "{o} wrote {s}", "The manuscript of {s} is by {o}"),
        ("the author of {x}", "the person who wrote {x}"),
        ("Who wrote {x}?", "By whom was {x} written?"),
    ),
    Relation(
        "setting",
        ("novel",),
        "city",
        ("{s} is set in {o}", "{s} takes place in {o}", "The plot of {s} unfolds in {o}"),
        ("the setting of {x}", "the city in which {x} is set"),
        ("In which city is {x} set?", "Where does {x} take place?"),
    ),
    Relation(
        "publisher",
        ("novel",),
        "company",
        ("{s} was published by {o}", "{o} brought out {s}", "{s} appeared with {o}"),
        ("the publisher of {x}", "the company that brought out {x}"),
        ("Which company brought out {x}?", "By which company was {x} published?"),
    ),
    Relation(
        "publication_year",
        ("novel",),
        "year",
        ("{s} came out in {o}", "{s} was first printed in {o}", "{s} has been in print since {o}"),
        ("the publication year of {x}", "the year in which {x} came out"),
        ("When did {x} come out?", "In which year was {x} first printed?"),
    ),
)

OTHER_NAME = Relation(
    "other_name",
    tuple(kind.name for kind in KINDS.values() if kind.pronouns),
    "name",
    ("{s} is another name for {o}",),
    ("the proper name of {x}",),
    ("What is {x} properly called?",),
    domain="aliases",
)
"""What the fragment of an alias states: whose other name it is. Readers follow it unasked."""

ATLAS: tuple[Relation, ...] = _PERSONS + _ORGANISATIONS + _BUILDINGS + _PLACES + _NATURE + _BOOKS

RELATIONS: tuple[Relation, ...] = (*ATLAS, *VOYAGES, *SCIENCE, OTHER_NAME)
"""Every relation of every domain."""
