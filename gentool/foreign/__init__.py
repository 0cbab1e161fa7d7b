"""Checkpoints that other programs saved: from a file of named tensors to a recipe of layers.

Data goes one way: `reading` gets the tensors out of a file without running anything in it, `parts`
sorts them into layers, `order` finds which layer follows which, `mlp` and `vgg` infer the list of
layers, and `inference` makes a recipe of it, which says in words what was inferred.
"""
