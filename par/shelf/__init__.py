"""A shelf: trained networks under names and tags, in a directory that can be served as it is.

    SHELF/_index.json             what is on it, for `list`
    SHELF/en_docs/v1.tar          the run with its tokenizer, as files in a row
    SHELF/en_docs/v1.json         the entry: what it is, its licence, and the SHA-256 of everything
    SHELF/en_docs/v1.md           the model card, which is also in the archive

A tag never changes what it named. What is fetched lies in the cache, where it is checked before
every use:

    CACHE/<12 digits of the shelf>/en_docs@v1/  config.json  checkpoints/  data/  README.md
                                                shelf.json, the entry
"""
