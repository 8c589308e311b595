"""Threads of every kind inherit the context of the code that starts them, with and without sentry-sdk."""

from __future__ import annotations

import _thread
import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest
from opentelemetry import context
from opentelemetry.context import get_value

from e2e.script import run_script
from mita_otel.instrumentation.threads import ThreadInstrumentation


@pytest.fixture
def instrumentation() -> Iterator[ThreadInstrumentation]:
    # sentry-sdk may have replaced them permanently in an earlier test of this process.
    before = threading.Thread.start, ThreadPoolExecutor.submit
    made = ThreadInstrumentation()
    made.install()
    yield made
    made.remove()
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == before


@pytest.fixture
def within() -> Iterator[None]:
    """Run the test in a context with `user`."""
    token = context.attach(context.set_value("user", "u-1"))
    yield
    context.detach(token)


def seen(start: Callable[[Callable[[], None]], threading.Thread]) -> object:
    """Return the value of `user` in a thread."""
    found: list[object] = []
    thread = start(lambda: found.append(get_value("user")))
    thread.start()
    thread.join()
    return found[0]


class Subclass(threading.Thread):
    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self.work = work

    def run(self) -> None:
        self.work()


def with_run_of_its_own(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread()
    thread.run = work  # type: ignore[method-assign]
    return thread


KINDS: dict[str, Callable[[Callable[[], None]], threading.Thread]] = {
    "target": lambda work: threading.Thread(target=work),
    "subclass": Subclass,
    "timer": lambda work: threading.Timer(0, work),
    "attribute": with_run_of_its_own,
}


def test_a_thread_of_the_thread_module_inherits_the_context(
    instrumentation: ThreadInstrumentation, within: None
) -> None:
    found: list[object] = []
    ended = threading.Event()

    def work(name: str, *, end: threading.Event) -> None:
        found.append(get_value(name))
        end.set()

    _thread.start_new_thread(work, ("user",), {"end": ended})
    assert ended.wait(60)
    assert found == ["u-1"]
    before = _thread.start_new_thread
    instrumentation.remove()
    assert _thread.start_new_thread is not before


@pytest.mark.usefixtures("instrumentation", "within")
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_thread_inherits_the_context(kind: str) -> None:
    assert seen(KINDS[kind]) == "u-1"


@pytest.mark.usefixtures("instrumentation", "within")
def test_a_thread_started_by_a_thread_inherits_the_context() -> None:
    found: list[object] = []

    def outer() -> None:
        found.append(seen(KINDS["subclass"]))

    thread = threading.Thread(target=outer)
    thread.start()
    thread.join()
    assert found == ["u-1"]


@pytest.mark.usefixtures("instrumentation", "within")
def test_an_exception_that_ends_a_thread_is_reported_within_the_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: SimpleQueue[object] = SimpleQueue()
    monkeypatch.setattr(threading, "excepthook", lambda _: found.put(get_value("user")))
    monkeypatch.setattr(sys, "unraisablehook", lambda _: found.put(get_value("user")))

    def crash() -> None:
        raise KeyError("no account")

    for thread in (threading.Thread(target=crash), Subclass(crash), threading.Timer(0, crash)):
        thread.start()
        thread.join()
    _thread.start_new_thread(crash, ())
    assert [found.get(timeout=60) for _ in range(4)] == ["u-1"] * 4


@pytest.mark.usefixtures("instrumentation")
def test_work_of_a_pool_has_the_context_of_its_submission() -> None:
    with ThreadPoolExecutor(1) as pool:
        futures = []
        for user in ("u-1", "u-2", None):
            token = context.attach(context.Context({"user": user} if user else {}))
            futures.append(pool.submit(get_value, "user"))
            context.detach(token)
        assert [future.result() for future in futures] == ["u-1", "u-2", None]


@pytest.mark.usefixtures("instrumentation", "within")
def test_pool_map_and_asyncio_executors_inherit_the_context() -> None:
    async def in_executor() -> object:
        return await asyncio.get_running_loop().run_in_executor(None, get_value, "user")

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(get_value, ["user", "user"])) == ["u-1", "u-1"]
    assert asyncio.run(in_executor()) == "u-1"


@pytest.mark.usefixtures("instrumentation", "within")
def test_results_and_exceptions_of_pools_are_returned() -> None:
    def fail(*, how: str) -> None:
        raise ValueError(how)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(divmod, 7, 2).result() == (3, 1)
        with pytest.raises(ValueError, match="badly"):
            pool.submit(fail, how="badly").result()


@pytest.mark.usefixtures("instrumentation")
def test_a_thread_without_a_context_is_not_patched() -> None:
    thread = threading.Thread()
    thread.start()
    assert "run" not in vars(thread)
    thread.join()


@pytest.mark.usefixtures("instrumentation", "within")
def test_a_thread_that_has_ended_is_freed_at_once() -> None:
    thread = Subclass(lambda: None)
    thread.start()
    thread.join()
    gc.disable()
    try:
        reference = weakref.ref(thread)
        del thread
        assert reference() is None
    finally:
        gc.enable()


@pytest.mark.usefixtures("instrumentation", "within")
def test_a_thread_that_cannot_start_raises_and_is_unchanged() -> None:
    thread = threading.Thread()
    thread.start()
    thread.join()
    with pytest.raises(RuntimeError, match="only be started once"):
        thread.start()
    assert "run" not in vars(thread)


@pytest.mark.usefixtures("instrumentation", "within")
def test_a_subclass_with_a_read_only_run_starts() -> None:
    ran = threading.Event()

    class Fixed(threading.Thread):
        @property
        def run(self) -> Callable[[], None]:  # type: ignore[override]
            return ran.set

    thread = Fixed()
    thread.start()
    thread.join()
    assert ran.is_set()


@pytest.mark.usefixtures("within")
def test_after_removal_no_context_is_inherited(instrumentation: ThreadInstrumentation) -> None:
    instrumentation.remove()
    assert seen(KINDS["target"]) is None
    instrumentation.install()
    assert seen(KINDS["target"]) == "u-1"


@pytest.mark.usefixtures("within")
def test_a_patch_wrapped_by_another_library_has_no_effect_after_removal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = threading.Thread.start
    instrumentation = ThreadInstrumentation()
    instrumentation.install()
    ours = threading.Thread.start
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: ours(thread))
        instrumentation.remove()
        assert seen(KINDS["target"]) is None
    threading.Thread.start = before  # type: ignore[method-assign]


@pytest.mark.usefixtures("within")
def test_with_the_contrib_package_no_patch_is_installed() -> None:
    from opentelemetry.instrumentation.threading import ThreadingInstrumentor

    contrib, ours = ThreadingInstrumentor(), ThreadInstrumentation()
    contrib.instrument()
    try:
        before = vars(threading.Thread)["start"]
        ours.install()
        assert vars(threading.Thread)["start"] is before
        assert seen(KINDS["target"]) == "u-1"
    finally:
        ours.remove()
        contrib.uninstrument()


@pytest.mark.usefixtures("within")
def test_a_later_contrib_package_works_as_well(instrumentation: ThreadInstrumentation) -> None:
    from opentelemetry.instrumentation.threading import ThreadingInstrumentor

    contrib = ThreadingInstrumentor()
    contrib.instrument()
    try:
        for kind in KINDS.values():
            assert seen(kind) == "u-1"
    finally:
        contrib.uninstrument()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="interpreters in pools are new in Python 3.14")
@pytest.mark.usefixtures("instrumentation", "within")
def test_work_of_an_interpreter_pool_is_not_wrapped() -> None:
    from concurrent.futures import InterpreterPoolExecutor  # type: ignore[attr-defined]  # new in 3.14

    with InterpreterPoolExecutor(1) as pool:
        assert pool.submit(divmod, 7, 2).result() == (3, 1)


BESIDE_SENTRY = """
    import threading
    from concurrent.futures import ThreadPoolExecutor
    import sentry_sdk
    from opentelemetry import context
    from mita_otel.instrumentation.threads import ThreadInstrumentation

    class Subclass(threading.Thread):
        def run(self):
            look()

    seen = []
    def look():
        seen.append([context.get_value("user"), sentry_sdk.get_isolation_scope()._tags.get("tag")])

    def join(thread):
        thread.start()
        thread.join()

    ours = ThreadInstrumentation()
    steps = [ours.install, lambda: sentry_sdk.init("http://key@127.0.0.1:9/1", default_integrations=True)]
    for step in ORDER(steps):
        step()
    token = context.attach(context.set_value("user", "u-1"))
    sentry_sdk.get_isolation_scope().set_tag("tag", "t-1")
    join(threading.Thread(target=look))
    join(Subclass())
    join(threading.Timer(0, look))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(look).result()
    inherited, seen = list(seen), []
    ours.remove()
    join(Subclass())
    answer([inherited, seen])
"""


@pytest.mark.parametrize("order", ["list", "reversed"])
def test_with_sentrys_threading_integration_both_contexts_are_inherited(tmp_path: Path, order: str) -> None:
    inherited, after = run_script(BESIDE_SENTRY.replace("ORDER", order), tmp_path).answer
    assert inherited == [["u-1", "t-1"]] * 4
    assert after == [[None, "t-1"]]
