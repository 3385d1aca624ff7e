"""What others have published of resnet50 on ImageNet and of the links between GPUs, each with its source."""

from __future__ import annotations

from dataclasses import dataclass

from skipline.bench.cost_model.cluster import Cluster, Link
from skipline.bench.cost_model.fitting import fit_step
from skipline.bench.cost_model.workload import Workload

PARAMETERS = 25_557_032  # resnet50
IMAGES = 1_281_167  # ImageNet's training set
IMAGE_BYTES = (
    150e9 / IMAGES
)  # https://developer.nvidia.com/blog/loading-data-fast-with-dali-and-new-jpeg-decoder-in-a100/

EXAMPLES = (
    "https://github.com/NVIDIA/DeepLearningExamples/tree/master/PyTorch/Classification/ConvNets/resnet50v1.5"
)
MLPERF = "https://github.com/mlcommons/training_results_v3.0"


@dataclass(frozen=True)
class Published:
    """A measured rate of training resnet50.

    Attributes:
        gpus: in all.
        batch: images of one.
        images_per_second: of all.
        source: where it is published.
    """

    gpus: int
    batch: int
    images_per_second: float
    source: str


@dataclass(frozen=True)
class Machine:
    """A kind of GPU in hosts of eight.

    Attributes:
        name: for people.
        software: that the rates were measured with.
        per_host: GPUs.
        cores: of a host's processors.
        inside: link between the GPUs of a host, of which a ring reaches this bandwidth.
        between: link of a host to the others.
        bytes_per_gradient: on the way.
        fitted: rates that the seconds of a step were fitted to.
        checked: rates that a prediction is compared with.
        sources: of cores and links, a sentence each.
    """

    name: str
    software: str
    per_host: int
    cores: int
    inside: Link
    between: Link
    bytes_per_gradient: int
    fitted: tuple[Published, ...]
    checked: tuple[Published, ...]
    sources: tuple[str, ...]

    def cluster(self, gpus: int, cores: int = 0) -> Cluster:
        """So many GPUs; with `cores` of each host decoding images."""
        hosts = max(1, gpus // self.per_host)
        return Cluster(hosts, min(gpus, self.per_host), self.inside, self.between, cores, trees=True)

    def workload(self, batch: int, decode_seconds: float = 0.0) -> Workload:
        """Of one GPU.

        Args:
            batch: images.
            decode_seconds: of one core for an image.
        """
        per_image, per_step = self.step
        return Workload(
            batch,
            per_image,
            PARAMETERS,
            seconds_per_step=per_step,
            bytes_per_gradient=self.bytes_per_gradient,
            image_bytes=IMAGE_BYTES,
            decode_seconds=decode_seconds,
        )

    @property
    def step(self) -> tuple[float, float]:
        """Seconds an image and seconds a step: a line through the fitted rates; one alone has no costs of a step."""
        seconds = {one.batch: one.batch * one.gpus / one.images_per_second for one in self.fitted}
        if len(seconds) == 1:
            ((batch, taken),) = seconds.items()
            return taken / batch, 0.0
        return fit_step(seconds)


# A small all-reduce over 16 GPUs on two hosts takes 46 us, up and down a tree of 4 levels.
MESSAGE = 46e-6 / 8
LATENCY = "latency: 46 us for 4 bytes on 16 GPUs of 2 hosts (https://github.com/NVIDIA/nccl/issues/1244), 8 messages"

MACHINES = (
    Machine(
        "A100",
        "PyTorch 21.03, mixed precision",
        8,
        128,
        Link(200e9, MESSAGE),
        Link(0.75 * 8 * 25e9, MESSAGE),
        4,
        (Published(1, 256, 2_470, EXAMPLES),),
        (Published(8, 256, 16_621, EXAMPLES),),
        (
            "inside a host: about 200 GB/s with NVLink (https://github.com/NVIDIA/nccl-tests/issues/149)",
            "between hosts: 75 % of 8 cards of 200 Gbit/s, as 600 of 800 Gbit/s were reached in "
            "https://github.com/NVIDIA/nccl/issues/495",
            "cores: a DGX A100 has two processors of 64",
            LATENCY,
        ),
    ),
    Machine(
        "H100",
        "MXNet of MLPerf Training 3.0, fp16",
        8,
        112,
        Link(370e9, MESSAGE),
        Link(320e9, MESSAGE),
        2,
        (Published(8, 400, 56_100, MLPERF), Published(64, 50, 294_500, MLPERF)),
        (Published(512, 40, 2_089_000, MLPERF),),
        (
            "inside a host: 370 GB/s, a maintainer of NCCL in https://github.com/NVIDIA/nccl-tests/issues/212",
            "between hosts: 320 GB/s with 8 cards of 400 Gbit/s (https://github.com/NVIDIA/nccl/issues/1221)",
            "cores: a DGX H100 has two processors of 56",
            LATENCY,
            "rates: from the time stamps of the epochs in Dell/results/XE9680x8H100-SXM-80GB, "
            "NVIDIA/results/dgxh100_n8_ngc23.04_mxnet and dgxh100_n64_ngc23.04_mxnet, resnet/result_0.txt each",
        ),
    ),
)
