"""What is trained, and the canonical network that is measured."""
