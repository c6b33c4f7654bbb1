"""Which part of a pipeline each check points at: where its author looks when it fails, and what is untested when a fault survives it."""

POINTS_AT = {
    "K01": "`dataset`, and the derivations of its feature groups: which columns they take from what they read, and how",
    "K02": "`dataset`, `prepare`, or a derivation: what is computed before the question from what became known after it",
    "K03": "a derivation, and the `lookback` and `ttl` it declares",
    "K04": "`prepare`, `split`, the search, `fit` and `estimator`: whatever is fitted or chosen",
    "K05": "`split`, and the `label_time` that `dataset` gives",
    "K06": "`inputs` and `features`: one of them knows the label",
    "K07": "`dataset`: it passes on columns that nobody declared",
    "K08": "`prepare`, a derivation, or `predict`: one row's value depends on the rows beside it",
    "K09": "`dataset`, `prepare`, `estimator` or `fit`: what draws by chance, asks what time it is, or depends on where it runs",
    "K10": "`search`, or a `tune` of your own",
    "K11": "`analyse`: what it reports is not what the model does",
    "K12": "`serving`, and the online values of `features`",
    "K13": "`estimator`, and the derivations: a transformer does not do what it claims",
    "K14": "`estimator`, `fit`, and the label: the model does not learn",
    "K15": "`serving`, `prepare` and `estimator`: what they do with input that is not as it should be",
    "K16": "`fit`, and whatever writes files",
    "K17": "`inputs` and `features`: one of them nearly is the label",
    "K18": "`dataset`: which rows it gives must not depend on what is known later",
    "K19": "nothing in the code: these evaluation rows have judged too often",
    "K20": "`features`: some cost more than they help",
    "K21": "nothing in the pipeline: the gate itself is wrong, so report it",
}
"""The part of the contract (``flows.pipeline.Pipeline``) that each check of CHECKS.md points at."""
