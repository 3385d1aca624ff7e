"""One tree of exceptions.

SkiplineError                 root: catch this to catch everything skipline raises on purpose
|- InputError                 the user's input is wrong; the command line exits with status 2
|  |- UnknownNameError        a name that is in no table; answers with the nearest ones
|  |- SourceError             no such source, or one that cannot be read as images
|  |- RecipeError             one or more mistakes in a recipe, reported together
|  |- ClassMismatchError      the classes of a model and of a source differ
|  |- WeightsError            a state dict that does not fit the network
|  `- ShapeMismatchError      a residual branch and its shortcut, or an image and a network, do not fit
`- RunError                   a failure at run time; exit status 1
   |- CorruptImageError       an image file that cannot be decoded, with the file's name
   |  `- ImageTooLargeError   an image with more pixels than are decoded; nothing was decoded
   |- ShardError             a shard of a data set that cannot be read, although it was there when the set was opened
   |- CorruptSoundError       a sound file that cannot be decoded, with the file's name
   |- DownloadError           something must be fetched and there is no network; says how to bring the file
   |- HubError                the Hugging Face Hub cannot be reached, or refuses; nothing was half done
   |- MissingExtraError       an optional requirement is not installed; says the command that installs it
   |- DistributedError       processes that train together lost each other; names who is missing
   |  `- OtherProcessError   another process failed, and has said why
   |- PeerError               a process that a benchmark measures crashed, fell silent or spoke nonsense
   |- AccuracyDropError       a converted network lost more accuracy than was allowed; nothing is kept of it
   |- ExportError             a network that another runtime cannot hold, or that answers differently there
   |- NonFiniteLossError      the loss became NaN or infinite
   `- StorageError            the disk is full or not writable; earlier files are intact

Every message says what was expected, what arrived and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def shown(value: object, longest: int = 200) -> str:
    """A value from outside as one short line for a message.

    Args:
        value: of any size, such as an integer of more digits than Python prints.
        longest: characters that are shown; the middle of a longer text is left out.
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # too many digits, or nested too deeply
        text = f"a huge {type(value).__name__}"
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


class SkiplineError(Exception):
    """Root of every exception that skipline raises on purpose."""


class InputError(SkiplineError):
    """The user's input is wrong. The message says what was expected, what arrived and what to do."""


class RunError(SkiplineError):
    """Something failed at run time although the input was acceptable."""


class UnknownNameError(InputError):
    """A name that is in no table.

    Args:
        kind: what was looked up, in the singular, such as "model".
        name: the name that arrived.
        known: every name that would have been accepted.
        hint: a sentence on how to see the names, without full stop.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
        message = f"no {kind} is called '{name}'."
        message += f" Did you mean {' or '.join(near)}?" if near else f" Known: {', '.join(known[:12])}"
        message += " ..." if not near and len(known) > 12 else ""
        super().__init__(message + (f" {hint}." if hint else ""))
        self.nearest: Sequence[str] = near


class SourceError(InputError):
    """No such source of images, or one that cannot be read as labelled images."""


class RecipeError(InputError):
    """One or more mistakes in a recipe.

    Args:
        mistakes: one sentence a mistake, each naming the key.
        origin: where the recipe came from, such as a file name.
    """

    def __init__(self, mistakes: Sequence[str], origin: str = "recipe") -> None:
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__(f"{count} in {origin}: " + "; ".join(mistakes))


class ClassMismatchError(InputError):
    """The class names of a model and of a source differ."""


class WeightsError(InputError):
    """A state dict does not fit the network: missing, unexpected or wrongly shaped keys are listed."""


class ShapeMismatchError(InputError):
    """Two shapes that must agree do not; both are printed."""


class CorruptImageError(RunError):
    """An image that cannot be decoded; the message begins with the file's name."""


class ImageTooLargeError(CorruptImageError):
    """An image whose header claims more pixels than are decoded; the message begins with the file's name."""


class CorruptSoundError(RunError):
    """A sound that cannot be decoded, or is too long; the message begins with the file's name."""


class ShardError(RunError):
    """A shard of a data set cannot be read, as its file or server is gone; the message begins with its name."""


class DownloadError(RunError):
    """Something must be fetched and could not be; the message says which file to bring and where to put it."""


class HubError(RunError):
    """The Hugging Face Hub cannot be reached, or refuses; the message says what to do."""


class MissingExtraError(RunError):
    """An optional requirement is not installed.

    Args:
        package: the import name that is missing.
        extra: the extra of skipline that brings it.
        purpose: what it is needed for.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {package}, which is not installed: pip install 'skipline[{extra}]'"
        )


class AccuracyDropError(RunError):
    """A converted network lost more accuracy than was allowed; names both accuracies and the bound."""


class ExportError(RunError):
    """A network that another runtime cannot hold, or that answers differently there; no file is kept."""


class NonFiniteLossError(RunError):
    """The loss became NaN or infinite; step, rate and last good checkpoint are named."""


class DistributedError(RunError):
    """Processes that train together lost each other; the message says which one is missing, and since when."""


class OtherProcessError(DistributedError):
    """Another process failed and has said why; this one only ends."""


class PeerError(RunError):
    """A process that a benchmark measures crashed, fell silent or spoke nonsense; names it and the reason."""


class StorageError(RunError):
    """The disk is full or not writable; what was there before is intact."""
