"""A short version of `make faults`."""

import pytest
from kills import Killed, kill_reports, kill_runs


@pytest.mark.trains
def test_work_that_is_killed_at_any_moment_loses_nothing_and_repeats_nothing(tmp_path):
    assert kill_runs(tmp_path, kills=4) == Killed(kills=4, lost=0, twice=0)


def test_a_report_that_is_killed_as_it_writes_and_draws_ends_as_if_it_had_not_been(tmp_path):
    assert kill_reports(tmp_path, kills=4) == Killed(kills=4, lost=0)
