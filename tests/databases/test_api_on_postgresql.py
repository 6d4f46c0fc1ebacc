"""What the API promises, it promises on PostgreSQL too: the tests of what it reads and writes again."""

import pytest

from tests.databases.rerun import pass_on_postgresql

# Refused before any database is asked, in many forms.
REFUSED_UNSEEN = (
    "test_a_bad_parameter_is_named_and_starts_nothing",
    "test_a_header_that_is_no_duration_or_out_of_range_is_refused",
    "test_a_start_that_is_no_time_with_a_zone_is_refused",
)


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
        but_for=REFUSED_UNSEEN,
    )
