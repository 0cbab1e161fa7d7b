"""Infer the recipe of a checkpoint that another program saved, from the names of its tensors.

Data goes one way: `reading` reads the tensors of a file without running anything in it, `layers`
groups them into layers, `layer_order` puts the linear layers in order, `vgg_parts` and
`vgg_poolings` do the same for the layers and poolings of a VGG, `mlp` and `vgg` list all layers
with a `layer_builder`, and `inference` makes a recipe of the list, with a description in words of
what was inferred.
"""
