"""`--launcher ray`: several processes on the machines of a Ray cluster, by Ray Train.

Each worker of Ray runs the command line as a process of its own, not inside itself: there training has a main thread,
which signals reach, an exit status, and its own output; and Ray's worker survives to report how it ended. The processes
join the group as those of torchrun do. Ray Train's own torch backend, which would make a second group, is left out.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from skipline.errors import DistributedError, InputError, MissingExtraError
from skipline.training.distributed import ray_worker
from skipline.training.distributed.parent import PARENT

LOOK = 0.1  # seconds between two looks at what the processes have printed
OBJECT_STORE = (
    100_000_000  # bytes; tensors do not travel through Ray, and its own default is a third of the memory
)
PASSED = ("SKIPLINE_", "NCCL_", "GLOO_", "TORCH_", "OMP_", "PYTHONPATH")  # variables that go to all machines
# What Ray reads when it is imported or started; what the user has set goes first.
SETTINGS = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns about its own next version
    "RAY_worker_niceness": "0",  # on a cluster of our own nobody else is to be given way to
}


def launch_on_ray(
    arguments: Sequence[str],
    processes: int,
    restarts: int,
    scratch: Path,
    *,
    cores: int,
    outcome: str,
    write: Callable[[int, str], None],
    say: Callable[[str], None],
) -> int:
    """Run the command line in several workers of Ray Train at once, which find each other through torchrun's variables.

    The cluster is that of RAY_ADDRESS, else one that `ray start` began on this machine, else one that ends with this
    call. The folder in which the processes run is this one's, on every machine. A process or a worker that dies takes
    the others with it, and all begin anew.

    Args:
        arguments: of `skipline`, such as ["train", "photos/"].
        processes: at least 1.
        restarts: how often they may begin anew.
        scratch: an empty folder for Ray Train's own files.
        cores: that Ray sets aside for each process.
        outcome: a variable of the environment; each process gets a file name in it, and leaves its exit status there if
            beginning anew would be of no use.
        write: given the lines that processes print, as (1 for stdout or 2 for stderr, lines).
        say: told about the cluster.

    Returns:
        The exit status: that of the first process that has left one, else 0, or 128 and the number of the signal that
        ended it.

    Raises:
        MissingExtraError: Ray Train is not installed.
        InputError: no cluster at RAY_ADDRESS, one that is too small, or a folder that its machines do not share.
        DistributedError: processes ended otherwise more often than `restarts`, or the cluster is lost.
        KeyboardInterrupt: Ctrl-C before there was anything to save, or twice.
    """
    before = dict(os.environ)
    os.environ.update({**SETTINGS, **before})
    logging.disable(logging.ERROR)  # what happened is told by the processes and here
    try:
        try:
            import ray
            import ray.train
        except ImportError:
            raise MissingExtraError("ray[train]", "ray", "--launcher ray") from None
        own = _connect(ray, processes * cores)
        try:
            gpus = _room(ray, processes, cores, own, say)
            job = _Job(ray, processes, restarts, scratch, cores=cores, use_gpu=gpus > 0)
            address = "127.0.0.1" if own else ray.util.get_node_ip_address()
            return job.run(arguments, outcome, address, write)
        except ray.exceptions.RayError as error:
            raise DistributedError(f"the Ray cluster is lost: {_first_line(error)}") from None
        finally:
            ray.shutdown()
    finally:
        logging.disable(logging.NOTSET)
        os.environ.clear()
        os.environ.update(before)


def _connect(ray: Any, cores: int) -> bool:
    """Join the cluster that there is, else begin one; whether it was begun."""
    address = os.environ.get("RAY_ADDRESS", "")
    if "://" in address:
        raise InputError(
            f"RAY_ADDRESS is '{address}': expected HOST:PORT of a cluster that this machine belongs to, such as "
            "10.0.0.1:6379. From elsewhere submit the command: ray job submit -- skipline train ..."
        )
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
    try:
        ray.init(num_cpus=cores, object_store_memory=OBJECT_STORE, **quiet)
        return True
    except ConnectionError as error:
        raise _unreachable(address, error) from None
    except ValueError as error:
        # Only Ray knows where it looks for clusters, and it says in this way that it has found one.
        if "existing cluster" not in str(error):
            raise InputError(f"RAY_ADDRESS is '{address}': {_first_line(error)}") from None
    try:
        ray.init(**quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(address, error) from None
    return False


def _unreachable(address: str, error: Exception) -> InputError:
    where = f"RAY_ADDRESS is '{address}', but" if address else "a Ray cluster was begun on this machine, but"
    return InputError(
        f"{where} it cannot be used: {_first_line(error)}. RAY_ADDRESS=local takes a cluster of its own"
    )


def _room(ray: Any, processes: int, cores: int, own: bool, say: Callable[[str], None]) -> int:
    """GPUs of the cluster; tells what it is, and refuses one that is too small."""
    resources = ray.cluster_resources()
    cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    if gpus and processes > gpus:
        raise InputError(
            f"--nproc {processes}: the Ray cluster has {gpus} GPUs, and one process a GPU is the most"
        )
    if processes * cores > cpus:
        raise InputError(
            f"--nproc {processes} with {cores} CPUs a process (--threads): the Ray cluster has {cpus} CPUs"
        )
    if own:
        say(f"{'cluster':<12} Ray on this machine, for this command alone")
        return gpus
    machines = sum(node["Alive"] for node in ray.nodes())
    free = int(ray.available_resources().get("CPU", 0))
    waiting = "" if processes * cores <= free else f"; {free} CPUs are free, waiting for {processes * cores}"
    say(f"{'cluster':<12} Ray on {machines} machines with {cpus} CPUs and {gpus} GPUs{waiting}")
    return gpus


class _Job:
    """One command line in the workers of a cluster."""

    def __init__(
        self, ray: Any, processes: int, restarts: int, scratch: Path, *, cores: int, use_gpu: bool
    ) -> None:
        self._ray, self._processes, self._restarts, self._scratch = ray, processes, restarts, scratch
        self._cores, self._use_gpu = cores, use_gpu
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # Workers need neither import skipline nor torch to take their task.
        ray.cloudpickle.register_pickle_by_value(ray_worker)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._desk = ray.remote(num_cpus=0, scheduling_strategy=here)(ray_worker.Desk).remote()

    def run(
        self, arguments: Sequence[str], outcome: str, address: str, write: Callable[[int, str], None]
    ) -> int:
        store = TCPStore(address, 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))
        variables = {
            **{name: value for name, value in os.environ.items() if name.startswith(PASSED)},
            "TORCH_CPP_LOG_LEVEL": "ERROR",
            "MASTER_ADDR": address,
            "MASTER_PORT": str(store.port),
            "TORCHELASTIC_RUN_ID": uuid.uuid4().hex,
        }
        task = ray_worker.Task(self._desk, list(arguments), str(Path.cwd()), variables, outcome, PARENT)
        failures: list[BaseException] = []
        # Not in the main thread: there Ray would take Ctrl-C for itself, and lose what could be saved.
        fit = threading.Thread(target=self._fit, args=(task, failures), daemon=True)
        with _requests() as request:
            fit.start()
            try:
                self._attend(fit, request, write)
            except self._ray.exceptions.RayError:
                if not request.number:
                    raise
                # A signal to a whole group of processes ends a cluster of our own as well.
                return 128 + request.number
        decided = self._ray.get(self._desk.outcome.remote())
        if decided is not None:
            status, message = decided
            if message:
                raise InputError(message)
            return int(status)
        if request.number == signal.SIGINT:
            raise KeyboardInterrupt
        if request.number:
            return 128 + request.number
        if failures:
            raise self._explained(failures[0])
        return 0

    def _fit(self, task: ray_worker.Task, failures: list[BaseException]) -> None:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.backend import Backend, BackendConfig
        from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

        class Devices(Backend):  # type: ignore[misc]
            share_cuda_visible_devices = True  # a process takes the GPU of its local rank

        class Config(BackendConfig):  # type: ignore[misc]
            backend_cls = Devices

        try:
            DataParallelTrainer(
                ray_worker.work,
                train_loop_config={"task": task},
                backend_config=Config(),
                scaling_config=ScalingConfig(
                    num_workers=self._processes,
                    use_gpu=self._use_gpu,
                    resources_per_worker={"CPU": self._cores, **({"GPU": 1} if self._use_gpu else {})},
                ),
                run_config=RunConfig(
                    name="skipline",
                    storage_path=str(self._scratch),
                    failure_config=FailureConfig(max_failures=self._restarts),
                ),
            ).fit()
        except BaseException as error:
            failures.append(error)

    def _attend(self, fit: threading.Thread, request: _Request, write: Callable[[int, str], None]) -> None:
        """Pass on what is printed, and a wish to stop, until all have ended."""
        told = False
        while fit.is_alive():
            if request.number and not told:
                self._ray.get(self._desk.stop.remote())
                told = True
            self._pass_on(write)
            fit.join(LOOK)
        self._pass_on(write)

    def _pass_on(self, write: Callable[[int, str], None]) -> None:
        for stream, text in self._ray.get(self._desk.said.remote()):
            write(stream, text)

    def _explained(self, error: BaseException) -> DistributedError:
        deaths: Mapping[int, str] = self._ray.get(self._desk.deaths.remote())
        said = {rank: f"process {rank} ended with {cause}" for rank, cause in deaths.items()}
        lost = {
            rank: f"process {rank} was lost with its Ray worker"
            for rank in getattr(error, "worker_failures", ())
        }
        if not said and not lost:
            return DistributedError(f"Ray Train failed: {_first_line(error)}")
        died = " and ".join(text for _, text in sorted({**lost, **said}.items()))
        return DistributedError(f"{died}, after {self._restarts} restarts (--restarts N)")


class _Request:
    """The first SIGINT or SIGTERM is kept in `number`; a second one interrupts at once."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number


@contextmanager
def _requests() -> Iterator[_Request]:
    request = _Request()
    earlier = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")
