"""Channels keep one HTTP connection per process."""

from __future__ import annotations

import os
import signal

import pytest

from alerts.channels.test_notifiers import notification
from alerts.receivers import HttpReceiver
from mita_otel.alerts.channels.registry import Channels
from mita_otel.policy import default_policy


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_opens_a_connection_and_does_not_use_the_parents() -> None:
    receiver = HttpReceiver()
    channels = Channels(default_policy().alerts, {"SLACK_FINANCE_WEBHOOK": receiver.url})
    try:
        channels.notifier("finance_slack").send(notification())
        child = os.fork()
        if not child:
            signal.alarm(20)
            status = 1
            try:
                status = 0 if channels.notifier("finance_slack").send(notification()) == "ok" else 1
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        channels.notifier("finance_slack").send(notification())
        assert len(receiver.posted) == 3
        assert receiver.connections == 2
    finally:
        channels.close()
        receiver.close()
