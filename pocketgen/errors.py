"""The exceptions of pocketgen.

In: nothing. Out: one base class for every mistake a user can make, and its kinds.
Not here: the checks themselves, which live beside the code they protect.
"""


class PocketgenError(ValueError):
    """A mistake in what pocketgen was given; the message is one line and names the remedy."""


class ModelError(PocketgenError):
    """The description of a model is not valid."""


class UnsafeModelError(ModelError):
    """An integer overflow cannot be excluded for this model."""


class DataError(PocketgenError):
    """Samples, labels or a data file cannot be used as they are."""


class BlobError(PocketgenError):
    """A stored set of weights is damaged or belongs to another model."""


class CompilerError(PocketgenError):
    """A C compiler is missing or failed."""


class ProverError(PocketgenError):
    """The analyser is missing or failed."""


class OutputError(PocketgenError):
    """The generated files cannot be written where they were asked for."""
