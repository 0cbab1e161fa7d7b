"""Data-parallel training: processes that torchrun started share each batch, as DDP has it.

The global batch, its order and the stop rule are those of one process. What would depend on the
number of processes is shared: the mean of a loss is over the global batch, and so are the mean and
the variance that batch norm takes off (PyTorch's SyncBatchNorm does that on GPUs alone).
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
    """The processes that train a network, and which of them this one is."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and talks."""
        return self.rank == 0

    def shard(self, indices: Tensor) -> Tensor:
        """This process's part of a batch. Raises GentoolError where some would get nothing."""
        if len(indices) < self.size:
            raise GentoolError(
                f"a batch of {len(indices)} images is too small for {self.size} processes; raise "
                "--batch-size or start fewer"
            )
        return indices.tensor_split(self.size)[self.rank]

    def part(self, examples: Examples) -> Examples:
        """This process's part of the examples to evaluate."""
        if self.size == 1:
            return examples
        mine = slice(self.rank, None, self.size)
        return replace(examples, images=examples.images[mine], labels=examples.labels[mine])

    def all_reduce_sum(self, *values: Tensor) -> list[float]:
        """Sums of numbers over all processes."""
        numbers = torch.stack([value.double() for value in values])
        if self.size > 1:
            distributed.all_reduce(numbers)
        return numbers.tolist()

    def broadcast(self, thing: object) -> object:
        """What the first process has, in all of them."""
        if self.size == 1:
            return thing
        box = [thing]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def parallel(self, model: nn.Module) -> nn.Module:
        """The module to call in training, whose gradients are those of the whole batch."""
        if self.size == 1:
            return model
        for name, module in list(model.named_modules()):
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                parent = model.get_submodule(name.rpartition(".")[0])
                setattr(parent, name.rpartition(".")[2], _shared(module))
        return nn.parallel.DistributedDataParallel(model)


SINGLE_PROCESS = ProcessGroup()


def begin(device: str) -> tuple[ProcessGroup, str]:
    """Join the processes that torchrun started; the team, and the device of this process.

    On GPUs each process has one of its own. Raises UsageError for a device that they cannot share,
    GentoolError where there are fewer GPUs than processes on this machine.
    """
    if not is_launched():
        return SINGLE_PROCESS, device
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(
            f"--device {device} is not for several processes; take cuda, a GPU for each, or cpu"
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


def end(wait: bool = True) -> None:
    """Leave the team, if there is one; unless an error ends this process, when all are done.

    A process that left early would break the connections that another still listens to.
    """
    if distributed.is_initialized():
        if wait:
            distributed.barrier()
        distributed.destroy_process_group()


class _Total(torch.autograd.Function):
    """The sum over all processes, of values forward and of gradients backward."""

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
    """Batch norm over the batches of all processes together, on any device."""

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
        mean = _Total.apply(input.sum(dims)) / count
        centred = input - mean.view(shape)
        variance = _Total.apply(centred.square().sum(dims)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight / (variance + self.eps).sqrt()
        return centred * scale.view(shape) + self.bias.view(shape)


def _shared(norm: nn.Module) -> SyncBatchNorm:
    """The same batch norm, its parameters and statistics included, over all processes."""
    shared = SyncBatchNorm(norm.num_features, norm.eps, norm.momentum)
    for name, parameter in norm.named_parameters():
        setattr(shared, name, parameter)
    for name, buffer in norm.named_buffers():
        setattr(shared, name, buffer)
    return shared
