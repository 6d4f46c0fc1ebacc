"""What fields take: texts by the patterns of what a person may write, and files."""

from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension

from characters import wording

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.utils import Direction

CONTROL = r"\u0000-\u001F\u007F-\u009F"
CONTROL_BUT_LAYOUT = r"\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F"
LINE_ENDS = r"\u2028\u2029"
# Letters of every script cannot be named in a way that all regular expressions understand, so that this takes more than
# the API does: symbols beyond ASCII, which `check_trigger_word` refuses.
NOT_IN_WORDS = r"\u0000-\u001F!-,./:-@\[-\^`{-\u009F"
# White space around a text is taken away before it is looked at.
PATTERNS = {
    wording.check_line: rf"^\s*[^\s{CONTROL}]([^{CONTROL}{LINE_ENDS}]*[^\s{CONTROL}])?\s*$",
    wording.check_paragraphs: rf"^[^{CONTROL_BUT_LAYOUT}]*$",
    wording.check_trigger_word: rf"^\s*[^\s{NOT_IN_WORDS}][^{NOT_IN_WORDS}]*[^\s{NOT_IN_WORDS}]\s*$",
}


class TextField(OpenApiSerializerFieldExtension):
    target_class = "characters.serializers.Text"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: "AutoSchema", direction: "Direction") -> dict[str, Any]:
        text = self.target
        shortest = text.min_length or (0 if text.allow_blank else 1)
        known = {"minLength": shortest or None, "maxLength": text.max_length, "pattern": _pattern(text.validators)}
        schema = {"type": "string"} | {key: value for key, value in known.items() if value is not None}
        if text.allow_blank and shortest:
            return {"anyOf": [schema, {"type": "string", "maxLength": 0}]}
        return schema


def _pattern(checks: list[Any]) -> str | None:
    return next((pattern for check, pattern in PATTERNS.items() if check in checks), None)


class FileField(OpenApiSerializerFieldExtension):
    target_class = "rest_framework.serializers.FileField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: "AutoSchema", direction: "Direction") -> dict[str, Any]:
        return {"type": "string", "format": "binary"}
