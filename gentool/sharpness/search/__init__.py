"""The search for the worst perturbation: the default, and those of the literature."""
