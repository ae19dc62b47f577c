"""Bodies are made as bytes: here they meet the models that the OpenAPI document shows."""

import pytest

from app.schemas import Data, Page
from tests.conftest import People
from tests.samples import NAMES, SAMPLES, together


@pytest.mark.parametrize("name", [name for name in NAMES if together(name, "create", "read", "list")])
def test_bytes_fit_the_model(name: str, people: People) -> None:
    sample, client = SAMPLES[name], people.able(name, "read", "list", "create")
    made = people.make(name, client if sample.owner else None)
    if "read" in sample.operations:
        answer = client.get(f"{sample.resource.path}/{made['id']}")
        model = Data[sample.model]  # type: ignore[name-defined]
        parsed = model.model_validate_json(answer.content)
        assert parsed.model_dump(mode="json", by_alias=True)["data"].keys() == answer.json()["data"].keys()
    if "list" in sample.operations:
        answer = client.get(sample.resource.path)
        Page[sample.model].model_validate_json(answer.content)  # type: ignore[name-defined]
        assert answer.json()["data"]


def test_the_model_would_notice() -> None:
    """A body with a field too many, or of the wrong type, does not fit."""
    for name in NAMES:
        with pytest.raises(ValueError, match="id"):
            SAMPLES[name].model.model_validate({"id": "not one"})
