"""Independent oracles: layers unrolled into dense matrices, paths counted one by one."""

import math

import numpy as np
import torch
from torch import nn


def dense(module, in_shape):
    """The matrix (outputs, inputs) and the bias (outputs,) of a layer that is linear.

    Column j is what the layer makes of the j-th unit vector, beyond what it makes of zero.
    """
    size = math.prod(in_shape)
    with torch.no_grad():
        inputs = torch.cat([torch.eye(size), torch.zeros(1, size)]).double().reshape(-1, *in_shape)
        outputs = module(inputs).flatten(1)
    return (outputs[:-1] - outputs[-1]).T.numpy(), outputs[-1].numpy()


def windows(module, in_shape, out_shape):
    """For each output of a max pooling, the inputs in its window, by looking at every pair."""
    channels, height, width = out_shape
    k, s, p, d = (
        v if isinstance(v, tuple) else (v, v)
        for v in (module.kernel_size, module.stride, module.padding, module.dilation)
    )
    found = []
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                rows = [i * s[0] - p[0] + d[0] * a for a in range(k[0])]
                columns = [j * s[1] - p[1] + d[1] * b for b in range(k[1])]
                found.append(
                    [
                        (c * in_shape[1] + row) * in_shape[2] + column
                        for row in rows
                        if 0 <= row < in_shape[1]
                        for column in columns
                        if 0 <= column < in_shape[2]
                    ]
                )
    return found


def edges(model, input_shape):
    """The layers of a chain as edge lists: (matrix, bias or None) and ("max", windows).

    `model` is an nn.Sequential in evaluation mode; batch norm is an affine layer of its own here,
    whose edges are those of the layer before it times its scale.
    """
    layers, shape = [], input_shape
    for module in model:
        with torch.no_grad():
            out_shape = tuple(module(torch.zeros(1, *shape, dtype=torch.float64)).shape[1:])
        if isinstance(module, nn.MaxPool2d):
            layers.append(("max", windows(module, shape, out_shape)))
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            scale, shift = dense(module, shape)
            kind, W, b = layers.pop()
            layers.append((kind, scale @ W, scale @ b + shift))
        elif not isinstance(module, nn.ReLU | nn.Flatten | nn.Dropout):
            is_weight = isinstance(module, nn.Conv2d | nn.Linear)
            layers.append(("weight" if is_weight else "mean", *dense(module, shape)))
        shape = out_shape
    return layers


def path_sum(model, input_shape, p, *, biases=True, factor=1.0, largest=False):
    """The sum over paths, from the powers of all edges as dense matrices, without any scaling."""
    sums = np.ones(math.prod(input_shape))
    for kind, *layer in edges(model, input_shape):
        if kind == "max":
            join = max if largest else sum
            sums = np.array([join(sums[i] for i in window) for window in layer[0]])
            continue
        W, b = layer
        sums = np.abs(W) ** p @ sums
        if kind == "weight":
            sums = factor * (sums + (np.abs(b) ** p if biases else 0))
    return sums.sum()


def enumerated_path_sum(model, input_shape, p):
    """The same by walking every path, one at a time, from each output back to where it begins."""
    layers = edges(model, input_shape)

    def walk(level, unit):
        if level < 0:
            return 1.0
        kind, *layer = layers[level]
        if kind == "max":
            return sum(walk(level - 1, i) for i in layer[0][unit])
        W, b = layer
        begun_here = abs(b[unit]) ** p if kind == "weight" else 0.0
        rows = enumerate(W[unit])
        return begun_here + sum(abs(w) ** p * walk(level - 1, i) for i, w in rows if w != 0)

    return sum(walk(len(layers) - 1, unit) for unit in range(len(layers[-1][1])))
