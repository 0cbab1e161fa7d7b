"""Read, write and inspect checkpoints; infer the networks in those of other programs."""
