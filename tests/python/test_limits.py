"""Full arenas, too few windows, resource and mapping limits: copies, counted, no crash (invariant 9)."""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest

from _subprocess import FULL, SANITIZED, limits_addresses, run_script

MIB = 1024 * 1024
GIB = 1024 * MIB


def limited(what: int, size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(what, (size, size))


def test_full_arena_copies_and_recovers() -> None:
    run_script("limits", "full_arena", env={"ISTHMUS_CAPACITY": "64M", "ISTHMUS_WINDOWS": "4"})


def test_more_interpreters_than_windows() -> None:
    run_script("limits", "windows", 5, env={"ISTHMUS_WINDOWS": "4"})


def test_too_few_windows_for_the_self_test() -> None:
    run_script("limits", "two_windows", env={"ISTHMUS_WINDOWS": "2"})


@limits_addresses
@pytest.mark.parametrize("size", [600 * MIB, 1500 * MIB])
def test_address_space_too_small_for_an_arena(size: int) -> None:
    run_script("limits", "no_arena", "RLIMIT_AS", limit=limited(resource.RLIMIT_AS, size))


@limits_addresses
@pytest.mark.parametrize("size", [6 * GIB, 40 * GIB])
def test_address_space_for_a_small_arena(size: int) -> None:
    run_script("limits", "small_arena", size // 100, limit=limited(resource.RLIMIT_AS, size))


def test_file_size_limit_too_small_for_an_arena() -> None:
    run_script("limits", "no_arena", "RLIMIT_FSIZE", limit=limited(resource.RLIMIT_FSIZE, MIB))


def test_file_size_limit_for_a_small_arena() -> None:
    run_script("limits", "small_arena", GIB, limit=limited(resource.RLIMIT_FSIZE, GIB))


def test_mapping_cap_copies_and_recovers() -> None:
    run_script("limits", "mapping_cap", env={"ISTHMUS_MAPPING_CAP": "100"})


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's allocator needs mappings of its own")
def test_more_objects_than_the_default_cap_has_mappings_for() -> None:
    cap = {} if FULL else {"ISTHMUS_MAPPING_CAP": "3000"}
    run_script("limits", "default_cap", 14_000 if FULL else 2_000, env=cap)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's allocator needs mappings of its own")
def test_no_mappings_left_in_the_kernel() -> None:
    run_script("limits", "real_mapping_limit", env={"ISTHMUS_MAPPING_CAP": "10000000"})
