"""Provide devices, memory budgets, CUDA graphs, compilation and linear algebra."""
