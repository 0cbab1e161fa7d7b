"""Train one network data-parallel, in the processes that torchrun started (PyTorch's DDP).

The result is that of a single process, up to rounding: the global batch, its order and the stop
rule are the same, the loss is the mean over the global batch, and batch norm takes mean and
variance of the global batch.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, distributed, nn

from gentool.common.errors import GentoolError, UsageError
from gentool.common.torchrun import is_launched
from gentool.data.examples import Examples


@dataclass(frozen=True)
class ProcessGroup:
    """Represent the processes that train a network, and the rank of this one."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Return whether this process is the one that writes files and prints."""
        return self.rank == 0

    def shard(self, indices: Tensor) -> Tensor:
        """Return this process's part of a batch. Raise GentoolError if a part would be empty."""
        if len(indices) < self.size:
            raise GentoolError(
                f"a batch of {len(indices)} images is too small for {self.size} processes; raise "
                "--batch-size or start fewer"
            )
        return indices.tensor_split(self.size)[self.rank]

    def shard_examples(self, examples: Examples) -> Examples:
        """Return this process's part of the examples to evaluate."""
        if self.size == 1:
            return examples
        part = slice(self.rank, None, self.size)
        return replace(examples, images=examples.images[part], labels=examples.labels[part])

    def all_reduce_sum(self, *values: Tensor) -> list[float]:
        """Return the sum of each value over all processes."""
        numbers = torch.stack([value.double() for value in values])
        if self.size > 1:
            distributed.all_reduce(numbers)
        return numbers.tolist()

    def gather(self, values: list[int]) -> list[int]:
        """Return the values of all processes, in every process."""
        if self.size == 1:
            return values
        boxes: list[list[int]] = [[] for _ in range(self.size)]
        distributed.all_gather_object(boxes, values)
        return [value for box in boxes for value in box]

    def broadcast(self, value: object) -> object:
        """Return the value of the main process, in every process."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def parallel(self, model: nn.Module) -> nn.Module:
        """Return the module to call in training; its gradients are those of the global batch."""
        if self.size == 1:
            return model
        for name, module in list(model.named_modules()):
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                parent = model.get_submodule(name.rpartition(".")[0])
                setattr(parent, name.rpartition(".")[2], _synchronized(module))
        return nn.parallel.DistributedDataParallel(model)


SINGLE_PROCESS = ProcessGroup()


def join_process_group(device: str) -> tuple[ProcessGroup, str]:
    """Join the process group that torchrun started; return it and the device of this process.

    On GPUs each process has one of its own. Raise UsageError for a device that processes cannot
    share, GentoolError if this machine has fewer GPUs than processes.
    """
    if not is_launched():
        return SINGLE_PROCESS, device
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(
            f"--device {device} is not for several processes; take cuda (a GPU for each) or cpu"
        )
    gpus = torch.cuda.device_count()
    on_gpu = device == "cuda" or (device == "auto" and gpus > 0)
    if on_gpu:
        if (processes := int(os.environ["LOCAL_WORLD_SIZE"])) > gpus:
            raise GentoolError(
                f"{processes} processes need a GPU each, and torch {torch.__version__} sees {gpus} "
                "of them; start fewer with --nproc-per-node, or use --device cpu"
            )
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    return ProcessGroup(distributed.get_rank(), distributed.get_world_size()), device


def leave_process_group(wait: bool = True) -> None:
    """Leave the process group, if there is one; `wait` until all its processes are done.

    A process that leaves early breaks connections that others still use; do not wait after an
    error, which the others may not have had.
    """
    if distributed.is_initialized():
        if wait:
            distributed.barrier()
        distributed.destroy_process_group()


class _AllReduceSum(torch.autograd.Function):
    """Sum over all processes: values in the forward pass, gradients in the backward pass."""

    @staticmethod
    def forward(context: object, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Normalise over the global batch of all processes, on any device.

    By hand because PyTorch's nn.SyncBatchNorm refuses CPU tensors.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        input = input.float() if input.dtype == torch.bfloat16 else input
        dims: Sequence[int] = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        count = torch.tensor(float(input.numel() // input.shape[1]), device=input.device)
        distributed.all_reduce(count)
        mean = _AllReduceSum.apply(input.sum(dims)) / count
        centred = input - mean.view(shape)
        variance = _AllReduceSum.apply(centred.square().sum(dims)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight / (variance + self.eps).sqrt()
        return centred * scale.view(shape) + self.bias.view(shape)


def _synchronized(norm: nn.Module) -> SyncBatchNorm:
    """Return a batch norm over all processes with the parameters and statistics of `norm`."""
    synchronized = SyncBatchNorm(norm.num_features, norm.eps, norm.momentum)
    for name, parameter in norm.named_parameters():
        setattr(synchronized, name, parameter)
    for name, buffer in norm.named_buffers():
        setattr(synchronized, name, buffer)
    return synchronized
