"""What the items of a data set are: how cards, tables, messages and reports speak of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of item that is given one class.

    Attributes:
        one: in the singular, also the name of the kind in files.
        many: in the plural.
        task: as the Hugging Face Hub calls it; None where it has no name for it.
        example: name of a file.
        recorder: that figures depend on.
    """

    one: str
    many: str
    task: str | None
    example: str
    recorder: str

    def counted(self, count: int) -> str:
        """A number of them, such as "1 image" or "1,204 images"."""
        return f"{count:,} {self.one if count == 1 else self.many}"


IMAGES = Kind("image", "images", "image-classification", "photo.jpg", "camera")
# However many windows a sound is cut into, it counts as one.
SOUNDS = Kind("sound", "sounds", "audio-classification", "sound.wav", "microphone")
SERIES = Kind("series", "series", None, "new.npy", "device")
ARRAYS = Kind("array", "arrays", None, "new.npy", "device")
KINDS = {kind.one: kind for kind in (IMAGES, SOUNDS, SERIES, ARRAYS)}
