"""What can be done next with what an operation made."""

from typing import Any

CREATED_ID = "$response.body#/id"

# Operation that makes something: what takes its id, and under which name.
LINKS: dict[str, dict[str, tuple[str, ...]]] = {
    "createCharacter": {
        "character_id": (
            "getCharacter",
            "updateCharacter",
            "deleteCharacter",
            "listCharacterImages",
            "uploadCharacterImages",
            "listTrainings",
        )
    },
    "uploadLora": {"lora_id": ("getLora", "deleteLora")},
    "startTraining": {
        "job_id": ("getTraining", "cancelTraining", "streamJob", "getJobSummary", "listJobArtifacts", "getJobLogs")
    },
    "startGeneration": {"job_id": ("getGeneration", "cancelGeneration", "streamJob", "getJobSummary", "getJobLogs")},
}


def add_links(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Say which operations take the id that another answers with; a hook that drf-spectacular calls at the end."""
    for operations in result["paths"].values():
        for operation in operations.values():
            for parameter, targets in LINKS.get(operation["operationId"], {}).items():
                operation["responses"]["201"]["links"] = {
                    target: {"operationId": target, "parameters": {parameter: CREATED_ID}} for target in targets
                }
    return result
