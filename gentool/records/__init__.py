"""What is written down: recipes, measure files, metadata of checkpoints. No torch."""
