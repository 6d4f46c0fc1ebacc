"""What the API promises, it promises on PostgreSQL too: the tests of what it reads and writes again."""

import pytest

from tests.databases.rerun import pass_on_postgresql


@pytest.mark.timeout(1600)
def test_the_api_keeps_its_contract_on_postgresql() -> None:
    pass_on_postgresql(
        "contract/test_training_api.py",
        "contract/test_training_lists.py",
        "contract/test_training_again.py",
        "contract/test_training_live.py",
        "contract/test_generation_api.py",
        "contract/test_generation_lists.py",
        "contract/test_generation_again.py",
        "contract/test_generation_images.py",
        "contract/test_scheduling.py",
        "characters/test_character_crud.py",
        "characters/test_character_deletion.py",
        "characters/test_concurrent_uploads.py",
        "characters/test_lora_races.py",
        "characters/test_lora_versions.py",
        "jobs/test_admin_actions.py",
        "isengard/test_audit.py",
    )
