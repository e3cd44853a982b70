"""PAR Transformer-XL search: language models with attention only where it lowers the loss.

    text --build_data--> tokenizer.model + records + manifest.json
         --train 6s----> a SuperNet; every block learns pi over attention, dense, identity;
         logs/<run>/
         --derive------> architecture.json, a string such as aaddid
         --train-------> the derived network; the same program, a fixed string
         --evaluate----> perplexity per token, per word, bits per byte;  plot_pi draws the GIF,
         report writes the page

Letters in shapes: B batch rows (parallel streams) · T query positions of a window · M memory
length · S = M + T key positions · P distances · D model width · H heads · K width of a head ·
F dense-block width · L blocks · V vocabulary · C clusters · O options of a stochastic block (3:
attention, dense, identity).
"""

__version__ = "0.1.0"


def network(architecture, vocab_size, seed=0, **settings):
    """A network without a head, as a Keras layer: par.nn.transformer.Transformer.

    Args:
      architecture: blocks such as `aaddid` or `6s` (par.search.architecture), or the path of an
        architecture.json.
      vocab_size: V, the number of token ids.
      seed: of the initial weights; equal seeds give equal weights.
      **settings: fields of par.core.config.ModelConfig, such as d_model or mem_len.

    Returns: a layer; called with tokens [B, T] int32, memories, and visibility, `causal` or
      `bidirectional`, it returns hidden states [B, T, D] and the next memories.

    Raises:
      par.core.errors.UsageError: for blocks that are not valid, an unknown setting, or a setting
        that is out of its bounds.
      par.core.errors.DataError: for an architecture.json that is missing or damaged.

    Example:
      trunk = par.network("aaddid", vocab_size=1000, d_model=64, num_heads=4)
      empty = trunk.empty_memories(batch_size=8)
      hidden, memories = trunk(tokens, empty, visibility="causal")
    """
    from par.core.environment import import_keras

    import_keras()
    from par.core.config import ModelConfig, SearchConfig
    from par.core.errors import UsageError
    from par.nn.transformer import Transformer
    from par.search import architecture as strings

    if unknown := sorted(settings.keys() - ModelConfig.__dataclass_fields__.keys()):
        raise UsageError(
            f"unknown setting {unknown[0]!r}; valid settings:"
            f" {', '.join(ModelConfig.__dataclass_fields__)}"
        )
    blocks, model = strings.parse(architecture), ModelConfig(**settings)
    model.check_vocabulary(vocab_size)
    return Transformer(blocks, model, SearchConfig(), vocab_size, seed)


def load(run, checkpoint="last", data=None, evaluate_as="soft"):
    """A trained network that scores, generates and embeds: par.evaluate.trained_model.Model.

    TensorFlow is imported here, not with this package.

    Args:
      run: directory of a run of tools/train.py; or a network on a shelf (tools/shelf.py), such as
        `shelf:en_docs@v1` or `shelf:https://example.org/shelf/en_docs@v1`, which is fetched into
        the cache once.
      checkpoint: `last`, or `best` by the nll on the validation split.
      data: directory of the data set, if it is not where it was when the run was made.
      evaluate_as: for a SuperNet `soft`, the mixture, or `argmax`, the likeliest kind of each
        block; without effect for a fixed network.

    Returns: the Model.

    Raises:
      par.core.errors.UsageError: for another checkpoint or evaluate_as, or for a directory with
        the runs of several seeds.
      par.core.errors.DataError: if the run, its checkpoint or its data is missing or damaged, or
        they do not match; or the shelf does not have what is named.

    Example:
      model = par.load("logs/RUN", checkpoint="best")
      model.generate("The list", length=50, temperature=0.8, seed=1)[0]
    """
    from par.core.environment import import_keras

    import_keras()
    from par.evaluate.trained_model import Model
    from par.shelf import cache

    return Model.load(cache.run_path(run), checkpoint, data, evaluate_as)


def compose(models, unfreeze=()):
    """Trained networks side by side as one Keras layer: par.nn.composition.Composition.

    The layer has copies of their weights. In training of your own it is frozen, but for the parts
    named by `unfreeze`, and has no dropout. A SuperNet is the mixture, whatever its
    `evaluate_as`.

    Args:
      models: of `load`, or what `load` takes as a run, in the order of the hidden states.
      unfreeze: names of parts that are trained, too: each is called as its run.

    Returns: the layer; called with tokens [B, T] int32, padded with 0, it returns hidden states
      [B, T, D_1 + D_2 + ...], each window read by itself.

    Raises:
      par.core.errors.UsageError: if they have not the same tokenizer, or not the same base, or if
        two have one name, or no part has a name of `unfreeze`.
      par.core.errors.DataError: as `load`.

    Example:
      base = par.compose([par.load("logs/A"), par.load("logs/B")])
      tokens = keras.Input((64,), dtype="int32")
      states = keras.layers.GlobalAveragePooling1D()(base(tokens))
      classifier = keras.Model(tokens, keras.layers.Dense(3, "softmax")(states))
    """
    from par.core.environment import import_keras

    import_keras()
    from par.composing.layer import composed_layer
    from par.shelf import cache

    return composed_layer(models, unfreeze, cache.run_path)


def block_table(name):
    """The table of all networks of up to L blocks, trained: par.search.block_table.BlockTable.

    Needs NumPy alone.

    Args:
      name: of a table that comes with the program (par.search.block_table_file.shipped()), or the
        path of a file .npz.

    Returns: the BlockTable.

    Raises:
      par.core.errors.UsageError: for a name that is neither.
      par.core.errors.DataError: for a file that is missing or damaged.

    Example:
      table = par.block_table("table.npz")
      table.query("diidad", "test_perplexity_per_word").mean()
    """
    from par.search import block_table_file

    return block_table_file.find(name)
