"""A table of networks as a file: a zip of NumPy's arrays (.npz), as np.load reads it, without
pickle.

The arrays are those of `BlockTable` by name, and schema, steps_per_epoch, tokens [2] and words [2]
(valid, test), and about, the bytes of a JSON text. Shipped tables lie in par/search/tables/.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from par.core import files, schema
from par.core.errors import DataError, UsageError
from par.search import networks
from par.search.block_table import AXES, BY_NETWORK, MAX_BLOCKS, MAX_CELLS, BlockTable

SCHEMA = 1
MAX_BYTES = 32 << 20  # of a file
MAX_ABOUT = 1 << 16  # bytes of `about`
SHIPPED = Path(__file__).resolve().parent / "tables"
HEADER_BYTES = 1 << 10  # more than any header of these arrays has: 128
# np.lib.format, version 1.0, as NumPy writes it: the text of a Python dictionary, which nothing
# here evaluates
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)\{'descr': '(?P<kind>[^']{3})', 'fortran_order': False,"
    rb" 'shape': \((?P<shape>(?:\d{1,9},? ?){0,3})\), \} *\n",
    re.DOTALL,
)
SINGLE = ("schema", "steps_per_epoch")
KINDS = {name: np.dtype("<f8" if name in BY_NETWORK else "<f4") for name in AXES}
KINDS |= dict.fromkeys((*SINGLE, "seeds", "tokens"), np.dtype("<i8"))
KINDS |= {"words": np.dtype("<f8"), "about": np.dtype("u1")}
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def shipped() -> list[str]:
    """The names of the tables that come with the program."""
    return sorted(path.stem for path in SHIPPED.glob("*.npz"))


def find(name: str | Path) -> BlockTable:
    """The shipped table of a name, or that of a file. Raises: UsageError for an unknown name;
    DataError for a file that is missing or damaged."""
    path, names = Path(name), shipped()
    if str(name) in names:
        return load(SHIPPED / f"{name}.npz")
    if path.suffix == ".npz" or len(path.parts) > 1 or path.exists():
        return load(path)
    choices = f"one of {', '.join(names)}" if names else "there is none yet"
    raise UsageError(
        f"table must be the name of a shipped table ({choices}) or the path of a file .npz, but is"
        f" {str(name)[:80]!r}"
    )


def save(path: Path, table: BlockTable) -> None:
    """Writes a table, whole or not at all; equal tables give equal bytes."""
    arrays = {name: getattr(table, name) for name in (*AXES, "seeds", "tokens", "words")}
    about = schema.canonical_json(table.about).encode("ascii")
    if len(about) > MAX_ABOUT:
        raise UsageError(
            f"about must have at most {MAX_ABOUT} bytes as JSON, but has {len(about)}"
        )
    arrays |= {"schema": SCHEMA, "steps_per_epoch": table.steps_per_epoch}
    arrays["about"] = np.frombuffer(about, np.uint8)
    content = io.BytesIO()
    np.savez_compressed(
        content, **{name: np.asarray(arrays[name], kind) for name, kind in KINDS.items()}
    )
    files.write_bytes(path, content.getvalue())


def load(path: Path) -> BlockTable:
    """Reads a table. Raises: DataError if the file is missing, too large, damaged, or not a
    consistent table of this schema."""
    content = files.read_bytes(path, "table of networks", MAX_BYTES)
    try:
        arrays = _arrays(content)
        about = schema.parse_json(arrays.pop("about").tobytes())
        if not isinstance(about, dict):
            raise ValueError("about is not a JSON object")
        single = {name: arrays.pop(name).item() for name in SINGLE}
        of_splits = {name: tuple(arrays.pop(name).tolist()) for name in ("tokens", "words")}
        return BlockTable(
            num_blocks=len(arrays["parameters"]).bit_length() - 1,
            steps_per_epoch=single["steps_per_epoch"],
            about=about,
            **of_splits,
            **arrays,
        )
    except (ValueError, zipfile.BadZipFile, zlib.error, struct.error, EOFError) as error:
        raise DataError(
            f"table of networks {path} is not valid ({str(error).splitlines()[0]}): put a whole"
            " copy in its place"
        ) from None


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a file, of the types and shapes that a table has. Raises: ValueError, or what
    zipfile does."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if sorted(each.filename for each in members) != sorted(f"{name}.npy" for name in KINDS):
            raise ValueError(f"it must hold the arrays {', '.join(KINDS)}, each once")
        by_name = {each.filename.removesuffix(".npy"): each for each in members}
        found = {name: _array(archive, by_name[name], name) for name in KINDS}
    if found["schema"].item() != SCHEMA:
        raise ValueError(f"it has schema {found['schema'].item()}, not {SCHEMA}")
    size = len(found["parameters"])
    if size not in {networks.count(depth) for depth in range(1, MAX_BLOCKS + 1)}:
        raise ValueError(f"it has {size} networks, which are not all of up to so many blocks")
    return found


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> np.ndarray:
    """One array. Type and size are checked before anything of that size is allocated."""
    if member.compress_type not in PLAIN or member.flag_bits & 1:
        raise ValueError(f"{name} is encrypted, or compressed in another way than deflate")
    kind, axes = KINDS[name], AXES.get(name, 0 if name in SINGLE else 1)
    limit = HEADER_BYTES + (MAX_ABOUT if name == "about" else MAX_CELLS * kind.itemsize)
    with archive.open(member) as file:
        content = file.read(limit + 1)
    header = HEADER.match(content)
    if not header or 10 + int.from_bytes(header["length"], "little") != header.end():
        raise ValueError(f"{name} has not the header of an array in C order")
    shape = tuple(map(int, re.findall(rb"\d+", header["shape"])))
    if header["kind"].decode("ascii", "replace") != kind.str or len(shape) != axes:
        raise ValueError(f"{name} must be of type {kind.str} with {axes} axes, but is not")
    if math.prod(shape) * kind.itemsize != len(content) - header.end():
        raise ValueError(f"{name} has another number of values than its shape {shape} says")
    return np.frombuffer(content, kind, offset=header.end()).reshape(shape)
