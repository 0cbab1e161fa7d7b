"""Build the networks that are trained, and the canonical network that is measured."""
