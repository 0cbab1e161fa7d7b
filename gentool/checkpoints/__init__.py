"""Checkpoints: read, write and inspect them; infer what those of other programs hold."""
