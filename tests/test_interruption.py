"""SIGTERM stops a run as Ctrl-C does, and only while one goes on."""

import os
import signal
import threading

import pytest

from depthbench.interruption import ended_by_another_interrupt, terminated_like_interrupted


def test_sigterm_is_an_interrupt_inside_and_the_former_handler_is_back_after():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("mine"))
    try:
        with pytest.raises(KeyboardInterrupt), terminated_like_interrupted():
            os.kill(os.getpid(), signal.SIGTERM)
        assert heard == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard == ["mine"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_thread_leaves_the_handlers_alone():
    found = []
    before = signal.getsignal(signal.SIGTERM)

    def work():
        with terminated_like_interrupted():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


def test_another_interrupt_ends_the_program_only_inside(monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    before = signal.getsignal(signal.SIGINT)
    with ended_by_another_interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended == [130, 130]
    assert signal.getsignal(signal.SIGINT) == before
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
