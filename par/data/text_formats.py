"""A text file as plain UTF-8: gzip and xz are decompressed, UTF-16 and UTF-32 decoded, CR line
ends become LF. Other formats are refused by name.

    file ──first bytes──▶ plain UTF-8: read where it is
                          anything else that is text: decoded once, to an unnamed temporary file
                          zip, PDF, another encoding, binary: refused

A temporary file without a name disappears with the process, however that ends.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import lzma
import os
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from par.core import files
from par.core.errors import DataError, ParError
from par.core.progress import Progress, announce

SAMPLE_BYTES = 1 << 16
PIECE_BYTES = 1 << 20
SPARE_BYTES = 64 << 20  # left free on the disk: nobody knows how large a compressed text will be
XZ_MEMORY = 512 << 20  # xz -9 needs 65 MiB
MIN_ODD = 16  # so many NUL, or so much invalid UTF-8, may stand in any text
MAX_NUL, MAX_INVALID = 0.05, 0.1  # shares of a sample's bytes or characters

GZIP, XZ = "gzip", "xz"
COMPRESSED = {b"\x1f\x8b": GZIP, b"\xfd7zXZ\x00": XZ}
REFUSED = {  # first bytes: name, what makes text of it
    b"PK\x03\x04": ("a zip archive (or .docx, .odt, .epub)", "unzip it, or save it as plain text"),
    b"PK\x05\x06": ("an empty zip archive", "give a text"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "decompress it with zstd -d"),
    b"BZh": ("compressed with bzip2", "decompress it with bunzip2"),
    b"\x04\x22\x4d\x18": ("compressed with lz4", "decompress it with lz4 -d"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it with 7z x"),
    b"Rar!\x1a\x07": ("a RAR archive", "unpack it"),
    b"%PDF-": ("a PDF document", "convert it with pdftotext"),
    b"{\\rtf": ("an RTF document", "save it as plain text"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an Office document", "save it as plain text"),
    b"PAR1": ("a Parquet file", "export its text column as plain text"),
    b"SQLite format 3\0": ("an SQLite database", "export its text as plain text"),
}
TAR_MARK, TAR_AT = b"ustar", 257
MARKS = {  # byte order marks; those of UTF-32 come first, as they begin with those of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# what a damaged archive raises while it is read
DAMAGE = (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError)


class DecodedText:
    """The UTF-8 of a file that is not plain UTF-8, in an unnamed temporary file; to be read as a
    Path is."""

    def __init__(self, source: Any, directory: Path | None):
        """source: the file, as `plain` takes it."""
        self._source, self.name = str(source), source.name
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".par-text-") as file:
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    def __str__(self) -> str:
        return self._source

    def open(self, mode: str = "rb") -> BinaryIO:
        """Opens it; each opened file has a position of its own. Raises: OSError."""
        return open(f"/proc/self/fd/{self._descriptor}", mode)

    def stat(self) -> os.stat_result:
        """Its status: `st_size` are the bytes of UTF-8."""
        return os.fstat(self._descriptor)


class Format(NamedTuple):
    """How a file holds its text: compressed by '', gzip or xz; in '' (UTF-8), utf-16 or utf-32;
    whether lines end with CR alone."""

    compression: str = ""
    encoding: str = ""
    has_cr_only: bool = False

    def __str__(self) -> str:
        parts = [self.compression, self.encoding.upper()]
        if self.has_cr_only:
            parts.append("CR line ends only, which become LF")
        return ", ".join(filter(None, parts))


def plain(source: Any, directory: Path | None = None) -> Any:
    """The source itself if it is plain UTF-8, else its decoded text.

    Args:
      source: a Path, or what has its `open`, `stat`, `name` and `str`.
      directory: where the temporary file lies; by default where the system puts such files.

    Raises: DataError for a format that is not text, another encoding, or a damaged archive;
    ResourceError if the disk is full; OSError if the source can't be read.
    """
    found = identify(source)
    if found == Format():
        return source
    announce(f"text {source}: {found}; decoding it once")
    decoded = DecodedText(source, directory)
    directory = Path(directory or tempfile.gettempdir())
    with (
        decoded.open("wb") as sink,
        Progress(f"decoding {source.name}", "byte", source.stat().st_size) as made,
    ):
        for piece, bytes_read in _pieces(source, found):
            try:
                sink.write(piece)
                files.check_space(directory, SPARE_BYTES)
            except OSError as error:
                if isinstance(error, ParError):
                    raise
                raise files.write_error(directory, sink.tell(), error) from None
            made(bytes_read)
    return decoded


class _ReadText(NamedTuple):
    """What was read already, to be opened as a Path is."""

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name

    def open(self, mode: str = "rb") -> BinaryIO:
        return io.BytesIO(self.data)


def plain_bytes(name: str, data: bytes, most: int) -> bytes:
    """The UTF-8 of a short text that has been read, decoded as `plain` does; at most a piece more
    than `most` bytes of it.

    Raises: DataError, as `plain`.
    """
    source = _ReadText(name, data)
    found, decoded = identify(source), b""
    for piece, _ in _pieces(source, found):
        decoded += piece
        if len(decoded) > most:
            break
    return decoded


def identify(source: Any) -> Format:
    """The format of a file by its first bytes. Raises: as `plain`."""
    with source.open("rb") as file:
        compression = _compression(str(source), _beginning(file))
        with _decompressed(str(source), file, compression) as stream:
            sample = _beginning(stream)
    if compression:
        inner = f"{source} (what {compression} compressed)"
        if twice := _compression(inner, sample):
            raise DataError(f"text {inner} is compressed with {twice} again: decompress it once")
    encoding = _encoding(str(source), sample)
    text = sample.decode(encoding or "utf-8", "replace")
    found = Format(compression, encoding)
    # what looks so may be one long line: all of it tells
    if "\r" in text[:-1] and "\n" not in text:
        has_lf = any(b"\n" in piece for piece, _ in _pieces(source, found))
        found = found._replace(has_cr_only=not has_lf)
    return found


def _beginning(stream: BinaryIO) -> bytes:
    """The first bytes of a stream, which may give fewer at once than are asked for."""
    found = b""
    while len(found) < SAMPLE_BYTES and (piece := stream.read(SAMPLE_BYTES - len(found))):
        found += piece
    return found


def _compression(name: str, sample: bytes) -> str:
    """gzip, xz, or '' for neither. Raises: DataError for a format that is refused."""
    for mark, (kind, advice) in REFUSED.items():
        if sample.startswith(mark):
            raise DataError(f"text {name} is {kind}, not plain text: {advice}")
    if sample[TAR_AT : TAR_AT + len(TAR_MARK)] == TAR_MARK:
        raise DataError(f"text {name} is a tar archive, not plain text: unpack it with tar -xf")
    return next((kind for mark, kind in COMPRESSED.items() if sample.startswith(mark)), "")


@contextlib.contextmanager
def _decompressed(name: str, file: BinaryIO, compression: str) -> Iterator[BinaryIO]:
    """The file from its start, decompressed. Raises: DataError if the archive is damaged."""
    file.seek(0)
    try:
        if compression == GZIP:
            with gzip.GzipFile(fileobj=file) as stream:
                yield stream
        elif compression == XZ:
            # LZMAFile has no limit
            lzma.LZMADecompressor(memlimit=XZ_MEMORY).decompress(file.read(1024), max_length=1)
            file.seek(0)
            with lzma.LZMAFile(file) as stream:
                yield stream
        else:
            yield file
    except DAMAGE as error:
        raise DataError(
            f"text {name} is a damaged {compression} file, or one that can't be read here"
            f" ({error}): get it again, or decompress it with {compression} -d"
        ) from None


def _encoding(name: str, sample: bytes) -> str:
    """utf-16 or utf-32 by the mark that the text begins with; '' for UTF-8.

    Raises: DataError for text that is obviously neither, naming the likely encoding.
    """
    for mark, encoding in MARKS.items():
        if sample.startswith(mark):
            return encoding
    nul = sample.count(b"\0")
    if nul > max(MAX_NUL * len(sample), MIN_ODD):
        raise DataError(
            f"text {name} is not UTF-8: {nul:,} of its first {len(sample):,} bytes are NUL, as in"
            f" {_likely(sample)}"
        )
    text = sample.decode("utf-8", "replace")
    invalid = text.count("\ufffd") - sample.count("\ufffd".encode())
    if invalid > max(MAX_INVALID * len(text), MIN_ODD):
        raise DataError(
            f"text {name} is not UTF-8: {invalid:,} of its first {len(text):,} characters are"
            " invalid, as in another encoding (Latin-1, Windows-1251, GBK, Shift-JIS, or UTF-16"
            " without a byte order mark): convert it with iconv -f ENCODING -t UTF-8"
        )
    return ""


def _likely(sample: bytes) -> str:
    """The encoding that has NUL bytes where a sample has them, and what to do."""
    shares = [sample[i::4].count(0) / max(len(sample[i::4]), 1) for i in range(4)]
    has_nul = tuple(share > max(shares) / 2 for share in shares)
    name = {
        (False, True, True, True): "UTF-32LE",
        (True, True, True, False): "UTF-32BE",
        (False, True, False, True): "UTF-16LE",
        (True, False, True, False): "UTF-16BE",
    }.get(has_nul)
    if name is None:
        return "a binary file: give plain text"
    return f"{name} without a byte order mark: convert it with iconv -f {name} -t UTF-8"


def pieces(source: Any) -> Iterator[tuple[bytes, int]]:
    """The UTF-8 of a file piece by piece, and how many bytes of the file each one took, for a text
    that is read once. source, Raises: as `plain`."""
    return _pieces(source, identify(source))


def _pieces(source: Any, form: Format) -> Iterator[tuple[bytes, int]]:
    """The UTF-8 of a text piece by piece, and how many bytes of the file each one took.

    Half characters of UTF-16 (lone surrogates) become invalid UTF-8, which cleaning counts.
    """
    decoder = form.encoding and codecs.getincrementaldecoder(form.encoding)("surrogatepass")
    at = 0
    if decoder:
        yield codecs.BOM_UTF8, 0  # cleaning counts the mark
    with (
        source.open("rb") as file,
        _decompressed(str(source), file, form.compression) as stream,
    ):
        while piece := stream.read(PIECE_BYTES):
            before, at = at, file.tell()
            if decoder:
                piece = _utf8(str(source), decoder, piece)
            if form.has_cr_only:
                piece = piece.replace(b"\r", b"\n")
            yield piece, at - before
    if decoder:
        yield _utf8(str(source), decoder, b"", is_last=True), 0


def _utf8(
    name: str, decoder: codecs.IncrementalDecoder, data: bytes, is_last: bool = False
) -> bytes:
    try:
        return decoder.decode(data, is_last).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise DataError(
            f"text {name} is damaged {error.encoding.upper()} ({error.reason}): get it again"
        ) from None
