"""The published figures: that the lines go through them, and that what they foretell is near what was measured."""

from __future__ import annotations

import pytest

from skipline import models
from skipline.bench.cost_model import predict
from skipline.bench.cost_model.published import MACHINES, PARAMETERS

A100, H100 = MACHINES


def test_the_parameters_are_those_of_our_resnet50() -> None:
    assert models.spec("resnet50").params == PARAMETERS


def test_one_rate_gives_seconds_an_image_alone() -> None:
    assert A100.step == (pytest.approx(1 / 2470), 0.0)
    assert predict(A100.workload(256), A100.cluster(1)).images_per_second == pytest.approx(2470)


def test_two_rates_give_a_line() -> None:
    per_image, per_step = H100.step
    assert 8 * 400 / (per_step + 400 * per_image) == pytest.approx(56_100)
    assert 64 * 50 / (per_step + 50 * per_image) == pytest.approx(294_500)


def test_the_line_through_8_and_64_gpus_foretells_512() -> None:
    (published,) = H100.checked
    found = predict(H100.workload(published.batch), H100.cluster(published.gpus))
    assert found.images_per_second == pytest.approx(published.images_per_second, rel=0.1)


@pytest.mark.parametrize(("gpus", "hosts", "per_host"), [(1, 1, 1), (4, 1, 4), (8, 1, 8), (512, 64, 8)])
def test_gpus_come_in_hosts_of_eight(gpus: int, hosts: int, per_host: int) -> None:
    cluster = A100.cluster(gpus)
    assert (cluster.hosts, cluster.per_host, cluster.processes) == (hosts, per_host, gpus)
