"""Tasks behind: in order, one at a time, and no error is lost."""

import threading
import time

import pytest

from napari_ink.inference.behind import Behind


def test_a_task_runs_while_its_caller_goes_on_and_the_next_waits_for_it():
    may_end, done = threading.Event(), []
    with Behind("test") as behind:
        behind.do(lambda: (may_end.wait(10), done.append(1)))
        assert done == []  # the caller got here first
        threading.Timer(0.05, may_end.set).start()
        behind.do(done.append, 2)
        assert done[0] == 1
    assert done == [1, 2]


def fail():
    raise ZeroDivisionError


def test_what_a_task_raises_is_raised_by_the_next_call():
    with Behind("test") as behind:
        behind.do(fail)
        with pytest.raises(ZeroDivisionError):
            behind.do(print)


def test_what_the_last_task_raises_is_raised_on_leaving():
    behind = Behind("test")
    behind.do(fail)
    with pytest.raises(ZeroDivisionError):
        behind.__exit__(None, None, None)


def test_whoever_leaves_with_an_error_still_waits_for_the_task():
    done, behind = [], Behind("test")
    behind.do(lambda: (time.sleep(0.05), done.append(1)))
    behind.__exit__(KeyError, KeyError(), None)
    assert done == [1]
