"""Who is in the demo."""

from dataclasses import dataclass

from isengard.demo.portraits import Face


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """`trainings` is how often they are trained beside the others; 0: they are new here.

    `is_careless`: some of the photos are better left out, which their report says.
    """

    name: str
    trigger_word: str
    description: str
    face: Face
    photos: int = 12
    trainings: int = 2
    is_careless: bool = False


PEOPLE = (
    Person(
        name="Mara Lindqvist",
        trigger_word="mara_l",
        description="The face of the autumn campaign: red bob, freckles.",
        face=Face(skin="#f2cdb4", hair="#b4472e", style="bob", eyes="#4f7a6b", has_freckles=True),
        photos=16,
        trainings=5,
    ),
    Person(
        name="Theo Okafor",
        trigger_word="theo_o",
        description="Presenter of the travel series. Always with his glasses.",
        face=Face(skin="#7b4b32", hair="#1c1718", style="short", has_glasses=True, has_beard=True),
        photos=14,
        trainings=4,
    ),
    Person(
        name="Yuki Tanabe",
        trigger_word="yuki_t",
        description="Lead of the night-city storyboard.",
        face=Face(skin="#f0d3b0", hair="#20202a", style="long", eyes="#33261f"),
        trainings=3,
    ),
    Person(
        name="Inês Duarte",
        trigger_word="ines_d",
        description="The botanist of the picture book.",
        face=Face(skin="#c98d63", hair="#4b2c20", style="curls", eyes="#5b3a24"),
        photos=10,
    ),
    Person(
        name="Bram Visser",
        trigger_word="bram_v",
        description="The ferryman. Bald, white beard, weathered.",
        face=Face(skin="#e6b795", hair="#d9d4cb", style="bald", eyes="#54708c", has_beard=True),
        photos=9,
        trainings=1,
        is_careless=True,
    ),
    Person(
        name="Priya Raman",
        trigger_word="priya_r",
        description="New: the photos are here, the first training is still to come.",
        face=Face(skin="#a86b45", hair="#2a1b18", style="bun", has_glasses=True),
        photos=7,
        trainings=0,
    ),
)


def cast_of(count: int) -> list[Person]:
    """Return so many people; beyond those with names of their own they come again, numbered."""
    return [_namesake(n) if n >= len(PEOPLE) else PEOPLE[n] for n in range(count)]


def _namesake(n: int) -> Person:
    first, number = PEOPLE[n % len(PEOPLE)], n // len(PEOPLE) + 1
    # The hair of another one, so that they are told apart.
    other = PEOPLE[(n + number) % len(PEOPLE)].face
    face = Face(skin=first.face.skin, hair=other.hair, style=other.style, eyes=first.face.eyes)
    return Person(
        name=f"{first.name} {number}",
        trigger_word=f"{first.trigger_word}{number}",
        description=first.description,
        face=face,
        photos=8,
        trainings=1,
    )
