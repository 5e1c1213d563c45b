"""Start everything in order, wait until each part answers, and end it again.

Nothing is reported ready that did not answer a health check. A start that fails ends what it had begun.
"""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import psycopg
from rich.console import Console

from servers.embedded import health, plan, ports, postgres, processes, supervisor, valkey
from servers.embedded.addresses import DATABASE, beside
from servers.embedded.errors import StartError
from servers.embedded.plan import Embedding, Program
from servers.embedded.progress import banner, step
from servers.embedded.state import State

POLL_S = 0.05
READY_S = 60.0
# Of the market maker's first quotes, without which a venue is ready all the same: it says so.
QUOTES_S = 30.0
STOP_S = 90.0
LOG_LINES = 20
FILES_MAX = 65_536


def up(
    embedding: Embedding, console: Console, configure: Callable[[], None], migrate: Callable[[], None], *, detach: bool
) -> subprocess.Popen[bytes]:
    """Start, show where everything is, and stay until a signal or `down`; detached, return once everything answers.

    Returns the supervisor.

    `configure` writes the gateway's configuration, `migrate` brings the database up to date.

    Raises StartError where anything does not start.
    """
    begun = time.monotonic()
    state = embedding.state
    lock = state.lock()
    try:
        prepare(embedding, console, configure)
        allow_many_files()
        programs = [*plan.stores(embedding), *plan.servers(embedding)]
        with forwarded_signals() as stopping:
            running = supervisor.start(state, programs, lock)
            with ExitStack() as begun_parts:
                begun_parts.callback(end, running)
                start_all(embedding, console, migrate, running, stopping)
                begun_parts.pop_all()
            banner(console, embedding)
            console.print(f"ready in {time.monotonic() - begun:.1f} s", highlight=False)
            if not detach:
                stay(running, console, stopping, state)
            return running
    finally:
        os.close(lock)


def prepare(embedding: Embedding, console: Console, configure: Callable[[], None]) -> None:
    state = embedding.state
    if processes.leftovers(state):
        with step(console, "ending what an earlier venue left behind"):
            processes.stop_leftovers(state)
    ports.check(embedding.host, embedding.ports)
    if not embedding.own_postgres and not postgres.accepts(embedding.database):
        raise StartError("VENUE_DATABASE_URL: no PostgreSQL lets us in at that address")
    if not embedding.own_valkey and not valkey.answers(embedding.redis):
        raise StartError("VENUE_REDIS_URL: no Redis answers at that address")
    if embedding.own_postgres and not state.pg.exists():
        with step(console, "PostgreSQL cluster, first start"):
            postgres.initialize(state.pg, state.secret("postgres"))
    if embedding.own_valkey:
        port = embedding.ports["VENUE_REDIS_PORT"]
        valkey.configure(state.valkey, port, state.secret("valkey"), state.pid_file("valkey"))
    with step(console, "gateway configuration"):
        configure()


def start_all(
    embedding: Embedding,
    console: Console,
    migrate: Callable[[], None],
    running: subprocess.Popen[bytes],
    stopping: Callable[[], bool],
) -> None:
    """Stores, then the tables, then the servers at once, as none needs another to come up.

    Raises StartError with the end of the log of whatever died.
    """
    with closing(supervisor.Control(embedding.state)) as control:
        watch = Watch(embedding.state, control, running, stopping)
        watch.wait("supervisor", control.is_up)
        await_each(console, plan.stores(embedding), watch)
        with step(console, "tables"):
            try:
                if embedding.own_postgres:
                    postgres.create_database(beside(embedding.database, "postgres"), DATABASE)
                migrate()
            except psycopg.OperationalError as error:
                raise StartError(f"PostgreSQL: {str(error).splitlines()[0]}") from None
        ours = plan.servers(embedding)
        with step(console, "the servers' code"):
            watch.wait("supervisor", control.is_loaded)
        for program in ours:
            control.start(program.name)
        await_each(console, sorted(ours, key=lambda program: program.priority), watch)
        if "bot" in embedding.processes:
            await_quotes(console, embedding, watch)


class Watch:
    """Waits for one program after another, and notices what goes wrong meanwhile."""

    def __init__(
        self,
        state: State,
        control: supervisor.Control,
        running: subprocess.Popen[bytes],
        stopping: Callable[[], bool],
    ) -> None:
        self.state = state
        self.control = control
        self.running = running
        self.stopping = stopping
        self.pids: dict[str, int] = {}

    def died(self, name: str) -> bool:
        """Whether it is down, or up again as another process, which a look at its state alone could miss."""
        if name == "supervisor":
            return self.running.poll() is not None
        known = self.control.state(name)
        return known.died or (known.pid != 0 and self.pids.setdefault(name, known.pid) != known.pid)

    def wait(self, name: str, ready: Callable[[], bool]) -> None:
        """Raises StartError where it dies, takes too long, or somebody asks to stop."""
        end_s = time.monotonic() + READY_S
        while not ready():
            if self.stopping():
                raise StartError("stopped before it was ready")
            if self.died("supervisor"):
                raise StartError(with_log(self.state, "supervisor", "ended"))
            if self.died(name):
                raise StartError(with_log(self.state, name, "died"))
            if time.monotonic() > end_s:
                raise StartError(with_log(self.state, name, f"is not ready after {READY_S:.0f} s"))
            time.sleep(POLL_S)


def await_each(console: Console, programs: Iterable[Program], watch: Watch) -> None:
    for program in programs:
        where = f", port {program.port}" if program.port is not None else ""
        with step(console, f"{program.name}{where}"):
            watch.wait(program.name, program.ready)


def await_quotes(console: Console, embedding: Embedding, watch: Watch) -> None:
    """Until the demo books have quotes, so that a first market order finds some; names those that have none.

    Where a market takes none (it may be halted), or none come in QUOTES_S, the start goes on. Raises StartError as `wait` does.
    """
    end_s = time.monotonic() + QUOTES_S
    port = embedding.processes["bot"].metrics_port
    without: list[str] = []

    def answered() -> bool:
        nonlocal without
        every, without = health.quotes(embedding.host, port)
        return every or time.monotonic() > end_s

    with step(console, "quotes of the market maker"):
        watch.wait("bot", answered)
    if without:
        console.print(f"          none in {', '.join(without)}: see {embedding.state.log('bot')}", highlight=False)


def with_log(state: State, name: str, what: str) -> str:
    """A sentence, and the last lines of the process's log."""
    try:
        lines = state.log(name).read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    except FileNotFoundError:
        lines = []
    return "\n".join([f"{name} {what}; the end of {state.log(name)}:", *(f"  {line}" for line in lines)])


def allow_many_files() -> None:
    """Children inherit the limit: a stream is a file, and the usual soft limit is 1,024 of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def forwarded_signals() -> Iterator[Callable[[], bool]]:
    """Inside, a signal to end is remembered instead of obeyed; yields the question whether there was one."""
    seen: list[int] = []
    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda got, _frame: seen.append(got)) for number in watched}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stay(running: subprocess.Popen[bytes], console: Console, stopping: Callable[[], bool], state: State) -> None:
    """Until the supervisor ends by itself (`down`), or a signal asks for it."""
    while running.poll() is None and not stopping():
        time.sleep(POLL_S)
    if running.poll() is None:
        with step(console, "stopping"):
            end(running)
    console.print(f"stopped; the state stays in {state.root}", highlight=False)


def end(running: subprocess.Popen[bytes]) -> None:
    """Stop every program, last started first, and the supervisor. Raises StartError where it does not end."""
    if running.poll() is None:
        running.terminate()
    try:
        running.wait(STOP_S)
    except subprocess.TimeoutExpired:
        raise StartError(f"the supervisor (process {running.pid}) does not end") from None


def down(state: State, console: Console) -> bool:
    """End the venue that runs on this state folder. Returns whether there was one.

    Raises StartError where it does not end.
    """
    was_running = state.is_locked()
    if was_running:
        with step(console, "stopping"):
            signal_supervisor(state)
            end_s = time.monotonic() + STOP_S
            while state.is_locked():
                if time.monotonic() > end_s:
                    raise StartError(f"the venue does not end: see {state.log('supervisor')}")
                time.sleep(POLL_S)
    left = processes.leftovers(state)
    if left:
        with step(console, f"ending {', '.join(left)}, which had lost their supervisor"):
            processes.stop_leftovers(state)
    return was_running or bool(left)


def signal_supervisor(state: State) -> None:
    """Raises StartError where a venue is only just starting, so that there is nobody to tell yet."""
    known = processes.alive(state, "supervisor")
    if known is None:
        raise StartError("the venue is only just starting: try again in a second")
    os.kill(known[0], signal.SIGTERM)
