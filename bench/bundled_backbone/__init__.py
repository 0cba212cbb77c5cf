"""How the bundled backbone was made; `bench/train_bundled_backbone.py` runs it."""
