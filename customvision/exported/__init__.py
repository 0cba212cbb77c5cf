"""Models that Custom Vision exported, as model versions of a project; they outlive the service.

`archive` reads what a maintainer sends, `trial` tries it in a process of its own, `model_import`
makes it a model version, `predictor` serves it. A TensorFlow graph is converted first, by
`training.frozen_graphs`. `operators`, `pixels` and `engines` know neither settings nor rows, so
that the trial needs no Django.
"""
