import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_the_programs_under_test():
    """A suite that was started in the background ignores Ctrl-C, and so would what it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
