from base_models import MODELS


def test_every_model_is_found_by_its_own_name() -> None:
    assert [model.name for model in MODELS.values()] == list(MODELS)


def test_only_schnell_needs_an_assistant_adapter() -> None:
    assisted = [name for name, model in MODELS.items() if model.training and model.training.assistant_adapter]
    assert assisted == ["flux-schnell"]
