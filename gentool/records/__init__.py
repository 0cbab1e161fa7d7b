"""Read and write recipes, measure files and the metadata of checkpoints. No torch."""
