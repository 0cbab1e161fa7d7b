"""Checkpoints that other programs saved: from a file of named tensors to a recipe of layers.

Data goes one way: `reading` gets the tensors out of a file without running anything in it, `parts`
sorts them into layers, `order` finds which linear layer follows which, `sorting` and `poolings` do
what more a VGG needs, `mlp` and `vgg` write the list of layers (`builder`), and `inference` makes a
recipe of it, which says in words what was inferred. `training_data` adds what the user says of it.
"""
