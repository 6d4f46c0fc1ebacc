from collections.abc import Iterator

import pytest

from jobs.models import Slot
from tests.jobs.fakes import FakeKind, make_slot, registered


@pytest.fixture
def fake_kind() -> Iterator[FakeKind]:
    kind = FakeKind()
    with registered(kind):
        yield kind


@pytest.fixture
def slot(db: None, fake_kind: FakeKind) -> Slot:
    return make_slot(fake_kind)
