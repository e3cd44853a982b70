"""The named corpora: python-docs, debian-changelogs (a module of its own) and WikiText. Python
sources are parsed, never imported.

WikiText is searched where a user may have placed it, else downloaded. Every file is checked by its
digest before it is opened; a file of the same name with another digest is skipped. data/README.md
says where the digests come from.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import itertools
import platform
import sysconfig
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from par.core.config import DataConfig
from par.core.errors import DataError, UsageError
from par.core.progress import announce
from par.data import paragraphs
from par.data.corpus import SPLITS, Corpus, Text, cut_behind
from par.data.debian_changelogs import debian_changelogs
from par.data.document_index import Document, gather
from par.data.fetching import archive, download
from par.data.fetching.known_file import Known

DATA = Path("data")  # relative to the current directory
LICENCES = {  # of the corpora, and of what is made of them
    "python-docs": "PSF License Agreement (docs.python.org/3/license.html)",
    "debian-changelogs": "each package's own (/usr/share/doc/PACKAGE/copyright)",
    **dict.fromkeys(
        ("wikitext-2", "wikitext-2-small", "wikitext-103"),
        "Creative Commons Attribution-ShareAlike 3.0; authors: the contributors of Wikipedia"
        " (Merity et al. 2016, arXiv 1609.07843)",
    ),
}
RAW = DATA / "raw"  # where downloads go; files placed by hand may lie in either


class Asked(NamedTuple):
    """How a corpus is asked for, as `named` takes it."""

    mirrors: Sequence[str]
    timeout: float
    split_by: str
    fractions: Sequence[float]
    directory: Path | None


def named(
    name: str,
    mirrors: Sequence[str] = (),
    timeout: float = download.TIMEOUT,
    *,
    split_by: str = DataConfig.default("split_by"),
    fractions: Sequence[float] = DataConfig.default("split_fractions"),
    directory: Path | None = None,
) -> Corpus:
    """A corpus of `NAMED`.

    Args:
      mirrors: URLs that are tried before the known ones: of one of its files, or of a directory
        with them.
      timeout: seconds that each URL is given to answer, and then to go on.
      split_by, fractions: for a corpus without splits of its own.
      directory: where temporary files lie.

    Raises: UsageError for another name or a mirror that is not a URL; DataError if its files are
    not available or differ from the expected ones; ResourceError if the disk is full.
    """
    if name not in NAMED:
        raise UsageError(
            f"--corpus={name} does not exist: choose one of {', '.join(NAMED)}, or give your own"
            " text by --input_text"
        )
    for mirror in mirrors:
        download.check_url(mirror)
    return NAMED[name](Asked(mirrors, timeout, split_by, fractions, directory))


# ---- python-docs ----


def python_docs(stdlib: Path | None = None, directory: Path | None = None) -> Corpus:
    """The language reference and the docstrings that every CPython carries: about 2 MB of English,
    without a download.

    A hash of its name puts a topic of pydoc_data or a module into a split: one in 20 into valid
    and one into test, so it is in the same split in every version of CPython. With the hash's key
    342 each of them has 5 % of the bytes, in 3.11 and in 3.13.

    A document is a docstring; its group is the module, its author the top package, its parent the
    docstring of the nearest enclosing definition that has one. Topics are only text.
    """
    stdlib = Path(stdlib or sysconfig.get_path("stdlib"))
    documents = itertools.chain(_topics(stdlib), _docstrings(stdlib))
    try:
        return gather(
            "python-docs",
            documents,
            split_by="group",
            fractions=(0.9, 0.05, 0.05),
            directory=directory,
            note=f"CPython {platform.python_version()}",
        )
    except DataError:
        raise DataError(
            f"this Python has no sources in {stdlib}: python-docs needs them; give your own text"
            " by --input_text"
        ) from None


def _split_of(name: str) -> str:
    share = int(hashlib.sha256(f"342 {name}".encode()).hexdigest(), 16) % 20
    return {0: "valid", 1: "test"}.get(share, "train")


def _topics(stdlib: Path) -> Iterator[Document]:
    """The topics of pydoc_data/topics.py, sorted by name."""
    tree = _parse(stdlib / "pydoc_data" / "topics.py")
    for node in tree.body if tree else ():
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for name, text in sorted(ast.literal_eval(node.value).items()):
                yield Document(_encodable(text), None, split=_split_of(f"topic/{name}"))


SKIPPED = {
    "test",
    "tests",
    "idlelib",
    "turtledemo",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "pydoc_data",
    "lib-dynload",
}


def _docstrings(stdlib: Path) -> Iterator[Document]:
    """The docstrings of each module of the standard library, sorted by its path; a repeated one is
    left out."""
    seen = set()
    modules = sorted(path.relative_to(stdlib).as_posix() for path in stdlib.rglob("*.py"))
    for module in modules:
        tree = None if SKIPPED & set(module.split("/")) else _parse(stdlib / module)
        used: dict[ast.AST, str] = {}  # the ids of this module's documents
        enclosing = _enclosing(tree) if tree else {}
        for number, node in enumerate(enclosing):
            text = (ast.get_docstring(node) or "").strip()  # dedents as inspect.cleandoc
            if text and text not in seen:
                seen.add(text)
                used[node] = f"{module} {number}"
                above = enclosing[node]
                while above is not None and above not in used:
                    above = enclosing[above]
                yield Document(
                    _encodable(text),
                    used[node],
                    author=module.split("/")[0].removesuffix(".py"),
                    group=module,
                    parent=used[above] if above is not None else None,
                    split=_split_of(module),
                )


def _enclosing(tree: ast.Module) -> dict[ast.AST, ast.AST | None]:
    """The module, its classes and functions, wherever they are, in the order of the source: each
    with the one that it stands in."""
    found: dict[ast.AST, ast.AST | None] = {tree: None}
    below: list[tuple[ast.AST, ast.AST]] = [(tree, tree)]
    for outer, node in below:
        for child in ast.iter_child_nodes(node):
            is_definition = isinstance(
                child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            )
            if is_definition:
                found[child] = outer
            below.append((child if is_definition else outer, child))
    order = sorted(list(found)[1:], key=lambda node: (node.lineno, node.col_offset))
    return {node: found[node] for node in (tree, *order)}


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _parse(path: Path) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old sources about their own escapes
            return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


# ---- WikiText (Merity et al. 2016, arXiv 1609.07843) ----


@dataclasses.dataclass(frozen=True)
class Published:
    """A corpus published as a zip archive whose member NAME/FILE is a split."""

    name: str
    archive: Known
    members: dict[str, Known]


PYTORCH = (
    "https://raw.githubusercontent.com/pytorch/examples/acc295dc7b90714f1bf47f06004fc19a7fe235c4"
    "/word_language_model/data/wikitext-2"
)
SMERITY = "https://wikitext.smerity.com"
WAYBACK = (
    "https://web.archive.org/web/2020id_/https://s3.amazonaws.com/research.metamind.io/wikitext"
)

WIKITEXT_2 = Published(
    "wikitext-2",
    Known(
        "wikitext-2-v1.zip",
        4_475_746,
        "sha256:92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c",
        (f"{SMERITY}/wikitext-2-v1.zip", f"{WAYBACK}/wikitext-2-v1.zip"),
    ),
    {
        "train": Known(
            "wiki.train.tokens",
            10_797_148,
            "sha256:9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
            (f"{PYTORCH}/train.txt",),
        ),
        "valid": Known(
            "wiki.valid.tokens",
            1_121_681,
            "sha256:f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
            (f"{PYTORCH}/valid.txt",),
        ),
        "test": Known(
            "wiki.test.tokens",
            1_256_449,
            "sha256:d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
            (f"{PYTORCH}/test.txt",),
        ),
    },
)

WIKITEXT_103 = Published(
    "wikitext-103",
    Known(
        "wikitext-103-v1.zip",
        190_229_076,
        "sha256:242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590",
        (f"{SMERITY}/wikitext-103-v1.zip", f"{WAYBACK}/wikitext-103-v1.zip"),
    ),
    {  # only their SHA-1 is known, and that they are no larger than this
        "train": Known(
            "wiki.train.tokens", 600_000_000, "sha1:b7497e2dfe77e72cfef5e3dbc61b7b53712ac211"
        ),
        "valid": Known(
            "wiki.valid.tokens", 2_000_000, "sha1:c326ac59dc587676d58c422eb8a03e119582f92b"
        ),
        "test": Known(
            "wiki.test.tokens", 2_000_000, "sha1:8a5befc548865cec54ed4273cf87dbbad60d1e47"
        ),
    },
)

WIKITEXT_2_SMALL = {  # placed by hand
    "train": Known(
        "train.txt",
        933_062,
        "sha256:6cd52eb55261e26c2998f8cc34ab92dbacdbfa1c0c53d0814830fb83f75561a7",
    ),
    "valid": Known(
        "valid.txt",
        65_635,
        "sha256:5c1f5d4c74b69543d5cc8af680e773745159ff08546105674f051511ea562765",
    ),
    "test": Known(
        "test.txt",
        122_984,
        "sha256:4a296f518623ca0069f272fc45b1c978ce46370c97db9c4c6b0571bdebfb04cb",
    ),
}


def wikitext(published: Published, asked: Asked) -> Corpus:
    """WikiText with its own splits; its paragraphs are documents."""
    paths = _files(published, SPLITS, asked, {})
    texts = {split: Text.of(path) for split, path in paths.items()}
    return Corpus(published.name, texts, symbols=("<unk>",), documents=paragraphs.listing(texts))


def wikitext_2_small(asked: Asked) -> Corpus:
    """WikiText-2's validation split divided by article: 48 / 6 / 6."""
    passed: dict[Path, str] = {}
    parts = {
        split: _placed(known, (RAW / "wikitext-2-small",), passed)
        for split, known in WIKITEXT_2_SMALL.items()
    }
    if all(parts.values()):
        texts = {split: Text.of(path) for split, path in parts.items()}
    else:
        whole = _files(WIKITEXT_2, ("valid",), asked, passed)["valid"]
        titles = [
            i for i, line in enumerate(Text.of(whole).pieces()) if paragraphs.TITLE.fullmatch(line)
        ]
        # a blank line comes before each title
        texts = dict(
            zip(SPLITS, cut_behind([whole], [titles[48] - 1, titles[54] - 1]), strict=True)
        )
    return Corpus(
        "wikitext-2-small",
        texts,
        symbols=("<unk>",),
        note="WikiText-2 valid, 48 / 6 / 6 articles",
        documents=paragraphs.listing(texts),
    )


def _files(
    published: Published,
    splits: Sequence[str],
    asked: Asked,
    passed: dict[Path, str],
) -> dict[str, Path]:
    """The files of the splits: placed, or out of the archive, which was placed or is downloaded;
    or downloaded one by one.

    Raises: DataError if they can't be fetched; it names what was `passed` over, too.
    """
    folder = RAW / published.name
    places = (folder, RAW, DATA)
    wanted = {split: published.members[split] for split in splits}
    found = {split: _placed(known, places, passed) for split, known in wanted.items()}
    if missing := [known for split, known in wanted.items() if not found[split]]:
        try:
            for known in missing:
                # nothing is replaced: so this is told before a download
                if (folder / known.name).exists():
                    known.check(folder / known.name)
            packed = _placed(published.archive, places, passed) or _download(
                published, missing, folder, asked.mirrors, asked.timeout
            )
            if packed:
                archive.extract(packed, published.name, missing, folder)
        except DataError as error:
            others = ", ".join(
                f"{path} ({misfit})"
                for path, misfit in passed.items()
                if not str(error).startswith(f"{path} ")
            )
            if not others:
                raise
            raise DataError(f"{error}; passed over: {others}") from None
    return {split: found[split] or folder / known.name for split, known in wanted.items()}


def _placed(known: Known, places: Sequence[Path], passed: dict[Path, str]) -> Path | None:
    """The file in the first of the places that has it; another one of its name goes to `passed`,
    with the reason.

    WikiText-2 and WikiText-103 have files of the same names, and both may lie in `RAW` or `DATA`.
    """
    for path in (place / known.name for place in places):
        if path.is_file():
            if not (misfit := known.misfit(path)):
                return path
            announce(f"{path} is passed over: {misfit}")
            passed[path] = misfit
    return None


def _download(
    published: Published,
    members: Sequence[Known],
    folder: Path,
    mirrors: Sequence[str],
    timeout: float,
) -> Path | None:
    """The downloaded archive, or None if only its members could be downloaded. Mirrors are tried
    for both before the known URLs."""
    names = {published.archive.name, *(known.name for known in published.members.values())}
    refusals = []
    for is_mirror in (True, False):
        for files, place in (([published.archive], RAW), (members, folder)):
            urls = [
                (
                    [url for mirror in mirrors if (url := _at(mirror, known, names))]
                    if is_mirror
                    else known.urls
                )
                for known in files
            ]
            # without URLs a size is only a bound
            if all(urls) and all(known.urls for known in files):
                try:
                    paths = [
                        download.fetch(known, at, place, timeout) for known, at in zip(files, urls)
                    ]
                    return paths[0] if place == RAW else None
                except DataError as refusal:
                    refusals.append(refusal)
    raise refusals[0]


def _at(mirror: str, known: Known, names: set[str]) -> str | None:
    """The URL of a file at a mirror; None if the mirror is the URL of another file."""
    parts = urlsplit(mirror)
    last = unquote(PurePosixPath(parts.path).name)
    if last in names:
        return mirror if last == known.name else None
    return parts._replace(path=f"{parts.path.rstrip('/')}/{known.name}").geturl()


NAMED: dict[str, Callable[[Asked], Corpus]] = {
    "python-docs": lambda asked: python_docs(directory=asked.directory),
    "debian-changelogs": lambda asked: debian_changelogs(
        asked.split_by, asked.fractions, asked.directory
    ),
    "wikitext-2": lambda asked: wikitext(WIKITEXT_2, asked),
    "wikitext-2-small": wikitext_2_small,
    "wikitext-103": lambda asked: wikitext(WIKITEXT_103, asked),
}
SPLIT_AS_ASKED = ("debian-changelogs",)  # the others bring their splits
