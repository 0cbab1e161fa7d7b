"""Devices, memory, CUDA graphs, and linear algebra."""
