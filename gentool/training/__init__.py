"""Train networks from their recipes until they fit."""
