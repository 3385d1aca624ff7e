"""The cost model against sums that can be done by hand."""

from __future__ import annotations

import pytest

from skipline.bench.cost_model import (
    Cluster,
    Link,
    Workload,
    all_reduce_seconds,
    bandwidth_for,
    fit_link,
    fit_step,
    predict,
)
from skipline.errors import InputError

FAST = Link(1e12, 0.0)


def cluster(
    hosts: int = 1,
    per_host: int = 1,
    inside: Link = FAST,
    between: Link = FAST,
    cores: int = 0,
    trees: bool = False,
) -> Cluster:
    return Cluster(hosts, per_host, inside, between, cores, trees)


def workload(**changes: float) -> Workload:
    """10 images of 0.1 s: 1 s of computing, two thirds of it backward; 1 MB of gradients in one bucket."""
    values = {"batch": 10, "seconds_per_image": 0.1, "parameters": 250_000, **changes}
    return Workload(**values)  # type: ignore[arg-type]


def test_a_ring_of_four_moves_one_and_a_half_times_the_bytes_in_six_messages() -> None:
    link = Link(bandwidth=1e6, latency=0.01)
    assert all_reduce_seconds(2e6, cluster(4, between=link)) == pytest.approx(1.5 * 2 + 6 * 0.01)
    assert all_reduce_seconds(2e6, cluster(4, between=link), messages=5) == pytest.approx(3 + 5 * 0.06)


def test_one_process_adds_up_nothing() -> None:
    assert all_reduce_seconds(1e9, cluster(1, 1, Link(1.0, 9.0))) == 0


def test_a_tree_is_taken_where_a_ring_would_wait_for_too_many_messages() -> None:
    link = Link(bandwidth=1e9, latency=0.001)
    ring, tree = cluster(512, between=link), cluster(512, between=link, trees=True)
    assert all_reduce_seconds(1e6, ring) == pytest.approx(2 * 511 / 512 * 1e-3 + 1022 * 0.001)
    assert all_reduce_seconds(1e6, tree) == pytest.approx(2 * 1e-3 + 18 * 0.001)
    few = cluster(2, between=link, trees=True)  # 1 byte sent for each, in two messages: the ring
    assert all_reduce_seconds(1e6, few) == pytest.approx(1e-3 + 2 * 0.001)


def test_a_ring_through_hosts_of_several_processes_is_as_fast_as_the_worse_link() -> None:
    slow, near = Link(1e6, 0.01), Link(1e9, 0.0001)
    assert cluster(2, 4, near, slow).narrowest == slow
    assert cluster(1, 4, near, slow).narrowest == near
    assert cluster(4, 1, slow, near).narrowest == near
    assert cluster(2, 2, Link(5.0, 3.0), Link(7.0, 2.0)).narrowest == Link(5.0, 3.0)


def test_a_process_alone_computes_and_nothing_else() -> None:
    found = predict(workload(seconds_per_step=0.25), cluster())
    assert found.step == found.compute == pytest.approx(1.25)
    assert found.images_per_second == pytest.approx(8)
    assert (found.efficiency, found.bound, found.network, found.sent) == (1, "compute", 0, 0)


def test_one_bucket_never_hides() -> None:
    found = predict(workload(), cluster(2, between=Link(2e6, 0.0)))  # 1 MB to send, and as much to receive
    assert found.network == found.exposed == pytest.approx(0.5)
    assert found.images_per_second == pytest.approx(20 / 1.5)
    assert found.efficiency == pytest.approx(1 / 1.5)
    assert found.sent == pytest.approx(1e6 / 1.5)


def test_of_many_buckets_all_but_the_last_hide_behind_the_backward_pass() -> None:
    link = cluster(2, between=Link(2e6, 0.0))
    assert predict(workload(bucket=1e5), link).exposed == pytest.approx(0.05)  # the last of ten
    assert predict(workload(bucket=1e5, overlap=0.5), link).exposed == pytest.approx(0.5 - 1 / 3)
    assert predict(workload(bucket=1e5, overlap=0.0), link).exposed == pytest.approx(0.5)


def test_a_network_that_is_slower_than_computing_is_what_holds_it_up() -> None:
    found = predict(workload(bucket=1e5), cluster(2, between=Link(5e5, 0.0)))
    assert found.bound == "network"
    assert found.exposed == pytest.approx(2 - 2 / 3)
    assert found.step == pytest.approx(1 + 2 - 2 / 3)


def test_images_are_prepared_beside_the_computing_where_there_are_cores_for_it() -> None:
    # Two processes of a host need 20 images a second, four cores prepare 16.
    found = predict(workload(decode_seconds=0.25), cluster(3, 2, cores=4))
    assert found.bound == "input"
    assert found.images_per_second == pytest.approx(3 * 16)
    assert found.preparing == found.step == pytest.approx(1.25)
    enough = predict(workload(decode_seconds=0.25), cluster(3, 2, cores=8))
    assert (enough.bound, enough.preparing) == ("compute", pytest.approx(0.625))
    assert enough.images_per_second == pytest.approx(60, rel=1e-5)


def test_where_the_computing_core_decodes_its_time_is_part_of_computing() -> None:
    found = predict(workload(decode_seconds=0.1), cluster())
    assert (found.compute, found.preparing) == (pytest.approx(2), 0)


def test_what_disk_and_network_of_a_host_carry() -> None:
    found = predict(workload(image_bytes=100_000), cluster(4, 2, inside=FAST, between=Link(1e12, 0.0)))
    assert found.read == pytest.approx(20 * 100_000, rel=1e-5)
    assert found.sent == pytest.approx(2 * 7 / 8 * 1e6, rel=1e-5)
    assert predict(workload(), cluster(1, 8)).sent == 0  # nothing leaves the only host


def test_the_bandwidth_for_an_efficiency_gives_that_efficiency() -> None:
    hosts = cluster(2, between=Link(1.0, 0.0))
    needed = bandwidth_for(workload(), hosts, 0.8)
    assert needed == pytest.approx(1e6 / 0.25)  # 1 MB in a quarter of a second
    assert needed is not None
    assert predict(workload(), cluster(2, between=Link(needed, 0.0))).efficiency == pytest.approx(0.8)


def test_no_bandwidth_makes_up_for_latency() -> None:
    assert bandwidth_for(workload(), cluster(2, between=Link(1e6, 1.0))) is None
    assert bandwidth_for(workload(), cluster(1, 8, Link(1.0, 1.0))) == 0


def test_a_line_through_steps_gives_the_seconds_of_an_image_and_of_a_step() -> None:
    assert fit_step({8: 0.5 + 8 * 0.1, 32: 0.5 + 32 * 0.1}) == pytest.approx((0.1, 0.5))
    # No step costs less than nothing: then the line goes through the origin.
    rates = (8, 16 / 2.2)
    through_origin = sum(rates) / sum(rate**2 for rate in rates)
    assert fit_step({8: 1.0, 16: 2.2}) == pytest.approx((through_origin, 0.0))


def test_a_line_through_all_reduces_gives_the_link_back() -> None:
    link = Link(3e8, 2e-4)
    hosts = cluster(4, between=link)
    found = fit_link({size: all_reduce_seconds(size, hosts) for size in (4, 10_000, 10**6, 10**8)}, 4)
    assert (found.bandwidth, found.latency) == pytest.approx((3e8, 2e-4))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: Link(0, 0),
            "a link needs a bandwidth above 0 bytes a second and a latency of at least 0 s, got 0 and 0",
        ),
        (lambda: cluster(0), "a cluster needs at least 1 host with 1 process .*, got 0, 1 and 0"),
        (lambda: workload(overlap=1.5), "an overlap of 0-1"),
        (lambda: fit_step({8: 1.0}), "a line needs measurements at two sizes or more, got 1"),
        (lambda: fit_link({1: 2.0, 100: 1.0}, 2), "larger sizes were not slower"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        wrong()  # type: ignore[operator]
