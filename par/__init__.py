"""PAR Transformer-XL search: language models that spend attention only where it pays.

    text --build_data--> tokenizer.model + records + manifest.json
         --train 6s----> a SuperNet; every block learns pi over attention, dense, identity;
         logs/<run>/
         --derive------> architecture.json, a string such as aaddid
         --train-------> the derived network; the same program, a fixed string
         --evaluate----> perplexity per token, per word, bits per byte;  plot_pi draws the GIF,
         report writes the page

Letters in shapes: B batch rows (parallel streams) · T query positions of a window · M memory
length · S = M + T key positions ·
D model width · H heads · K width of a head · F dense-block width · L blocks · V vocabulary · C
clusters · O options of a
stochastic block (3: attention, dense, identity).
"""

__version__ = "0.1.0"


def network(architecture, vocab_size, seed=0, **settings):
    """A network without a head, a Keras layer: tokens [B, T] and memories in, hidden states [B, T,
    D] and the next memories out.

    architecture: blocks such as aaddid, or the path of an architecture.json. settings: those of
    par.core.config.ModelConfig.
    par.nn.transformer.Transformer tells how it is called. Raises: par.core.errors.UsageError for a
    setting that is none, or is out of its bounds.
    """
    from par.core.config import ModelConfig, SearchConfig
    from par.core.errors import UsageError
    from par.nn.transformer import Transformer
    from par.search import architecture as strings

    if unknown := sorted(settings.keys() - ModelConfig.__dataclass_fields__.keys()):
        raise UsageError(
            f"settings must be of {', '.join(ModelConfig.__dataclass_fields__)}, but"
            f" {unknown[0]!r} is none"
        )
    blocks, model = strings.parse(architecture), ModelConfig(**settings)
    model.check_vocabulary(vocab_size)
    return Transformer(blocks, model, SearchConfig(), vocab_size, seed)


def load(run, checkpoint="last", data=None, evaluate_as="soft"):
    """A trained network, ready to score, generate and embed: see
    par.evaluate.trained_model.Model.load. TensorFlow is imported here, not with this package."""
    from par.evaluate.trained_model import Model

    return Model.load(run, checkpoint, data, evaluate_as)
