"""Which version of a character's LoRA acts: the newest, unless another one was promoted."""

import pytest
from django.db.models import Q

from characters import loras
from characters.models import Character, Lora
from generation.lora_choice import choose_loras
from generation.params import GenerationParams
from tests.characters.cockpit_rows import new_character, new_lora

pytestmark = pytest.mark.django_db


@pytest.fixture
def character() -> Character:
    return new_character()


def versions(character: Character, count: int) -> list[Lora]:
    return [new_lora(character, version) for version in range(1, count + 1)]


def acting(character: Character, variant: str | None = None) -> int | None:
    chosen = choose_loras(GenerationParams(prompt="a portrait", lora_id=character.pk), variant=variant)
    return chosen[0].lora.version


def test_the_newest_acts_while_nobody_promoted_any(character: Character) -> None:
    versions(character, 3)
    assert acting(character) == 3


def test_a_promoted_version_acts_and_is_the_one_that_the_api_names(character: Character, client: object) -> None:
    older = versions(character, 3)[1]
    loras.promote(character.pk, older.pk)
    assert acting(character) == 2
    assert client.get(f"/api/characters/{character.pk}").json()["lora_path"] == f"/data/{older.key}"
    new_lora(character, 4)
    assert acting(character) == 2
    loras.promote(character.pk, None)
    assert acting(character) == 4


def test_where_the_promoted_one_does_not_fit_the_model_the_newest_that_does_acts(character: Character) -> None:
    older = versions(character, 2)[0]
    for version in (3, 4):
        new_lora(character, version, base_model="sdxl")
    loras.promote(character.pk, older.pk)
    assert acting(character, "sdxl") == 4
    assert acting(character, "flux-dev") == 1


def test_only_an_own_version_can_be_promoted(character: Character) -> None:
    stranger = new_lora(new_character("char-2"), 1)
    with pytest.raises(Lora.DoesNotExist):
        loras.promote(character.pk, stranger.pk)


def test_deleting_the_promoted_version_gives_its_place_to_the_newest(character: Character) -> None:
    first, second, _ = versions(character, 3)
    loras.promote(character.pk, first.pk)
    loras.delete_lora(first.pk)
    character.refresh_from_db()
    assert character.current_lora_id is None
    # As a process of the release before leaves it, which does not know that a character may name a LoRA.
    loras.promote(character.pk, second.pk)
    Lora.objects.filter(Q(pk=second.pk))._raw_delete("default")
    assert acting(character) == 3
