"""One trader at a time: an epoch that has passed can write nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import timedelta

import psutil
import pytest

from portfolio.models import Lease
from portfolio.trader import lease
from portfolio.trader.lease import LeaseHeld, LeaseLost
from tests.portfolio.world import NOW, World, build

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(seconds=lease.LEASE_SECONDS + 1)


@pytest.fixture
def world(db: None) -> World:
    return build()


def hold(world: World, holder: str) -> None:
    Lease.objects.filter(name=f"trader:{world.account_id}").update(holder=holder, expires_at=NOW + timedelta(seconds=10))


def test_each_holder_gets_a_higher_epoch(world: World) -> None:
    assert lease.acquire(world.account_id, now=NOW) == 2
    assert lease.acquire(world.account_id, now=LATER) == 3


def test_a_lease_of_a_living_process_is_waited_for(world: World) -> None:
    other = psutil.Process(os.getppid())
    hold(world, f"{socket.gethostname()[:32]}/{other.pid}/{int(other.create_time())}")
    with pytest.raises(LeaseHeld):
        lease.acquire(world.account_id, now=NOW)
    assert lease.acquire(world.account_id, now=LATER) == 2


def test_a_process_does_not_wait_for_itself(world: World) -> None:
    """It could not release the lease while the database was away; what its old session still writes is refused."""
    old = lease.acquire(world.account_id, now=NOW)
    assert lease.acquire(world.account_id, now=NOW) == old + 1
    with pytest.raises(LeaseLost):
        lease.renew(world.account_id, old, now=NOW)


def test_a_lease_of_another_machine_is_waited_for(world: World) -> None:
    hold(world, "elsewhere/1/1")
    with pytest.raises(LeaseHeld):
        lease.acquire(world.account_id, now=NOW)


def test_a_lease_of_a_dead_process_is_taken_at_once(world: World) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    began = int(psutil.Process(process.pid).create_time())
    process.wait()
    hold(world, f"{socket.gethostname()[:32]}/{process.pid}/{began}")
    assert lease.acquire(world.account_id, now=NOW) == 2


def test_a_process_number_that_was_given_to_another_process_is_no_sign_of_life(world: World) -> None:
    hold(world, f"{socket.gethostname()[:32]}/{os.getpid()}/1")
    assert lease.acquire(world.account_id, now=NOW) == 2


def test_a_trader_whose_epoch_has_passed_can_neither_renew_nor_write(world: World) -> None:
    old = lease.acquire(world.account_id, now=NOW)
    new = lease.acquire(world.account_id, now=LATER)
    with pytest.raises(LeaseLost):
        lease.renew(world.account_id, old, now=LATER)
    with pytest.raises(LeaseLost), lease.fenced(world.account_id, old):
        pytest.fail("The old epoch got in.")
    with lease.fenced(world.account_id, new) as account:
        assert account.pk == world.account_id


def test_a_released_lease_is_free_at_once(world: World) -> None:
    epoch = lease.acquire(world.account_id, now=NOW)
    lease.release(world.account_id, epoch, now=NOW)
    assert lease.acquire(world.account_id, now=NOW) == epoch + 1
