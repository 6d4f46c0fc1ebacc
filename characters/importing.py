"""Images with their captions out of a ZIP file: `<name>.txt` or `<stem>.txt` beside an image says what it shows."""

import logging
from io import BytesIO
from pathlib import Path
from posixpath import splitext
from tempfile import NamedTemporaryFile
from unicodedata import normalize
from zipfile import ZipInfo

from django.core.exceptions import ValidationError

from characters import archives, images, photos, wording
from characters.images import SentPhoto, UploadOutcome
from characters.models import CAPTION_MAX_LENGTH

logger = logging.getLogger(__name__)

CAPTION_SUFFIX = ".txt"
# UTF-8 takes at most four bytes for a character; the rest is for a byte order mark and blank lines.
MAX_CAPTION_BYTES = 4 * CAPTION_MAX_LENGTH + 100
CAPTION_TOO_LONG = f"Caption is longer than {CAPTION_MAX_LENGTH} characters"


class CaptionRefused(Exception):
    """The text cannot be a caption; the message says why to the person who sent it."""


class Import:
    """One run over one archive, with `folder` for one image at a time. What is refused costs the others nothing."""

    def __init__(self, character_id: str, archive: archives.Archive, *, folder: Path) -> None:
        self.outcome = UploadOutcome()
        self._folder = folder
        self._character_id = character_id
        self._archive = archive
        self._captions = {_spoken(member)[: -len(CAPTION_SUFFIX)]: member for member in _captions_in(archive)}

    def run(self) -> UploadOutcome:
        # A caption may belong to two images, "a.jpg" and "a.png", so none is used up by the first.
        left_over = dict(self._captions)
        for member in self._archive.files:
            if not _is_caption(member):
                caption = self._caption_of(member)
                left_over.pop(caption or "", None)
                self._add(member, self._captions.get(caption or ""))
        for member in left_over.values():
            self._refuse(member, "There is no image that this caption could belong to")
        return self.outcome

    def _caption_of(self, picture: ZipInfo) -> str | None:
        spoken = _spoken(picture)
        candidates = (spoken, splitext(spoken)[0])
        return next((name for name in candidates if name in self._captions), None)

    def _add(self, picture: ZipInfo, caption: ZipInfo | None) -> None:
        try:
            with NamedTemporaryFile(dir=self._folder) as file:
                self._archive.inflate(picture, file, max_bytes=photos.MAX_BYTES)
                file.flush()
                sent = SentPhoto(archives.path_of(picture).name, Path(file.name), self._read(caption))
                self.outcome.uploaded.append(images.add_photo(self._character_id, sent))
        except (archives.MemberRefused, photos.PhotoRefused) as refused:
            self._refuse(picture, str(refused))

    def _read(self, caption: ZipInfo | None) -> str | None:
        if caption is None:
            return None
        try:
            return self._text_of(caption)
        except (archives.MemberRefused, CaptionRefused) as refused:
            self._refuse(caption, str(refused))
            return None

    def _text_of(self, caption: ZipInfo) -> str:
        content = BytesIO()
        self._archive.inflate(caption, content, max_bytes=MAX_CAPTION_BYTES)
        return caption_of(content.getvalue())

    def _refuse(self, member: ZipInfo, reason: str) -> None:
        self.outcome.refuse(member.orig_filename, reason)
        logger.info("Member refused", extra={"character": self._character_id, "reason": reason})


def import_images(character_id: str, path: Path) -> UploadOutcome:
    """Keep the images of the archive at `path`. Raises archives.ArchiveRefused and Character.DoesNotExist."""
    with archives.opened(path) as archive:
        return Import(character_id, archive, folder=path.parent).run()


def caption_of(content: bytes) -> str:
    """Return the caption that a text file holds. Raises CaptionRefused."""
    if len(content) > MAX_CAPTION_BYTES:
        raise CaptionRefused(CAPTION_TOO_LONG)
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").strip()
        wording.check_paragraphs(text)
    except UnicodeDecodeError as exc:
        raise CaptionRefused("Caption is not text in UTF-8") from exc
    except ValidationError as exc:
        raise CaptionRefused("Caption has control characters") from exc
    if len(text) > CAPTION_MAX_LENGTH:
        raise CaptionRefused(CAPTION_TOO_LONG)
    return text


def _captions_in(archive: archives.Archive) -> list[ZipInfo]:
    return [member for member in archive.files if _is_caption(member)]


def _is_caption(member: ZipInfo) -> bool:
    return member.orig_filename.lower().endswith(CAPTION_SUFFIX)


def _spoken(member: ZipInfo) -> str:
    """Return a member's path as it is compared: macOS spells accents in another way than the rest of the world."""
    return normalize("NFC", member.orig_filename.replace("\\", "/"))
