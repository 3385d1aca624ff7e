"""Files out of a multipart/form-data body that is in memory.

The parser is python-multipart's. It is driven here rather than by the web framework, which writes files of more than
1 MB to disk and takes a body that was cut short for a whole one.
"""

from __future__ import annotations

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from skipline.serving.refusals import RefusedError, too_many_images

EXPECTED = "multipart/form-data with one image file or more, as curl -F file=@photo.jpg sends it"
MOST_OTHER_PARTS = 16  # fields of a form that are no files
MOST_HEADERS = 8192  # bytes of a part's headers

File = tuple[str, bytes]  # name and content


def files_of(body: bytes, content_type: str, most: int) -> list[File]:
    """The files of a form, in order; other fields are left out, and so are file fields left empty.

    Args:
        body: the whole body.
        content_type: the header's value, with the boundary.
        most: files that are accepted.

    Returns:
        Names, in which bytes that are no UTF-8 are escaped, and contents.

    Raises:
        RefusedError: 413 for too many files, 422 for a body that is broken or holds no file.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise broken("the content type names no boundary")
    parts = _Parts(most)
    callbacks = {
        "on_part_begin": parts.begin,
        "on_header_field": parts.field,
        "on_header_value": parts.value,
        "on_header_end": parts.header_end,
        "on_part_data": parts.data,
        "on_part_end": parts.end,
        "on_end": parts.finish,
    }
    try:
        MultipartParser(boundary, callbacks).write(body)  # type: ignore[arg-type]
    except FormParserError as error:
        raise broken(str(error)) from error
    if not parts.finished:
        raise broken("it is cut short: the closing boundary is missing")
    if not parts.files:
        raise RefusedError(422, "the form holds no file", EXPECTED)
    return parts.files


def broken(reason: str) -> RefusedError:
    """A body that is no form."""
    return RefusedError(422, f"the multipart body cannot be read: {' '.join(reason.split())[:200]}", EXPECTED)


class _Parts:
    """Collects what the parser finds.

    Args:
        most: files that are accepted.
    """

    def __init__(self, most: int) -> None:
        self.files: list[File] = []
        self.finished = False
        self._most = most
        self._others = 0
        self._header = (b"", b"")
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._content: list[bytes] = []

    def begin(self) -> None:
        self._headers, self._header_bytes, self._content = {}, 0, []

    def field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header = (self._header[0] + data[start:end], self._header[1])

    def value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header = (self._header[0], self._header[1] + data[start:end])

    def header_end(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = (b"", b"")

    def data(self, data: bytes, start: int, end: int) -> None:
        self._content.append(data[start:end])

    def end(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"").decode("latin-1")
        _, options = parse_options_header(disposition)
        content = b"".join(self._content)
        name = options.get(b"filename")
        if name is None:
            self._others += 1
        elif name or content:  # a file field that was left empty has neither
            self.files.append((name.decode("utf-8", "backslashreplace"), content))
        if len(self.files) > self._most:
            raise too_many_images(f"the form holds more than {self._most} files", self._most)
        if self._others > MOST_OTHER_PARTS:
            raise RefusedError(
                413, f"the form holds more than {MOST_OTHER_PARTS} fields beside files", EXPECTED
            )

    def finish(self) -> None:
        self.finished = True

    def _count(self, more: int) -> None:
        self._header_bytes += more
        if self._header_bytes > MOST_HEADERS:
            raise broken(f"the headers of a part have more than {MOST_HEADERS:,} bytes")
