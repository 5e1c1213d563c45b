"""One run: two leaders-to-be and a projector, customers, and whatever may go wrong; and what must hold, after every step."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any, Final

from servers.domain import commands as c
from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from servers.domain.state import state_hash
from servers.engine import sequencer
from tests.property.encoding import encode
from tests.property.whole import SwarmTraffic
from tests.simulation.bus import Bus
from tests.simulation.customers import ACCOUNTS, Customers
from tests.simulation.database import PARTITION, Database
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.nodes import Node, OrderNode, Projector, spawn
from tests.simulation.seams import Alarms, standing_in
from tests.simulation.witness import MEMORY, Violation, Witness
from venue.engine.v1 import engine_pb2 as pb

# How long a venue that is whole again may take to answer everything and to write it down, in simulated seconds.
HEAL_S: Final = 60.0
CHECKPOINTS: Final = 4
UNDER_WAY_MAX: Final = 16
CALM_S: Final = 0.25


class Simulation:
    """A venue and its world. The same seed gives the same run."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.random = Random(seed)
        self.loop = loop
        self.alarms = Alarms()
        self.database = Database(self.random)
        self.bus = Bus(self.random)
        self.witness = Witness(self.database, self.bus, MEMORY, thorough=seed % 4 == 0)
        traffic = SwarmTraffic(seed, accounts=ACCOUNTS)
        self.opening = list(traffic.opening())
        self.orders = [
            OrderNode(name, loop, self.random, self.database, self.missing, self._tail)
            for name in ("order-1", "order-2")
        ]
        self.projector = Projector("replica", loop, self.random, self._tail)
        self.nodes: list[Node] = [*self.orders, self.projector]
        self.customers = Customers(self.random, traffic, self.database, self.witness, self.leader)
        self.trace: deque[str] = deque(maxlen=40)
        self.faults = 0
        self._quiet_until = 0.0
        self._silent = False

    def missing(self, exchange: Exchange) -> list[pb.Command]:
        """The catalogue."""
        if exchange.ledger.assets:
            return []
        return [encode(PARTITION, command) for command in self.opening if not isinstance(command, c.OpenAccount)]

    def leader(self) -> OrderNode:
        """Who the fence says leads; now and then somebody else."""
        address = self.database.fence["address"] if self.database.fence is not None else ""
        if self.random.random() < 0.02:
            return self.random.choice(self.orders)
        return next((node for node in self.orders if node.name == address), self.orders[0])

    def _tail(self, after: int) -> Any:
        return self.leader().tail(after)

    # Steps

    async def run(self, steps: int) -> None:
        """Raises Violation."""
        for node in self.nodes:
            node.start()
        self.customers.open_accounts(self.opening)
        await self._until(lambda: not self.customers.under_way, "the venue does not open")
        for account_id in ACCOUNTS[:2]:
            spawn(self.loop, self.customers.follow(account_id))
        for step in range(steps):
            self._act()
            while self.customers.under_way >= UNDER_WAY_MAX or self._silent:  # noqa: ASYNC110  # a state of several
                await asyncio.sleep(0.03)
            await asyncio.sleep(0.012 * self.random.random())
            self.check(deep=step % 64 == 0)
            if step % (steps // CHECKPOINTS) == steps // CHECKPOINTS - 1:
                self.witness.check_tables()
        await self._end()

    def _act(self) -> None:
        random, customers = self.random, self.customers
        dice = random.random()
        if dice < 0.88:
            customers.trade()
        elif dice < 0.94:
            customers.repeat()
        elif dice < 0.95:
            customers.reuse()
        elif dice < 0.97:
            spawn(self.loop, customers.read(self.leader()))
        elif self.loop.time() >= self._quiet_until:
            self._disturb()

    def check(self, *, deep: bool) -> None:
        """What must hold at any time. Raises Violation."""
        if self.alarms.raised:
            raise Violation(self.alarms.raised[0])
        if self.customers.faults:
            raise Violation(self.customers.faults[0])
        if self.database.fence is not None and self.database.fence["halted_reason"] is not None:
            raise Violation(f"halted: {self.database.fence['halted_reason']}")
        if self.witness.advance():
            self.witness.sound()
        self.witness.check_bus()
        for node in self.nodes:
            if node.task is not None and node.task.done() and node.task.exception() is not None:
                raise Violation(f"{node.name} ended: {node.task.exception()!r}")
        if deep:
            self._check_leaders()

    def _check_leaders(self) -> None:
        for node in self.orders:
            leading = node.engine.sequencer
            if node.up and leading is not None and leading.ended is None:
                found = breaches(leading.exchange)
                if found:
                    raise Violation(f"{node.name}: " + "; ".join(found))
                same = leading.exchange.clock.sequence == self.witness.sequence
                if same and leading.appender.epoch == self._epoch():
                    self._same(leading)

    def _same(self, leading: sequencer.Sequencer) -> None:
        if state_hash(leading.exchange) != state_hash(self.witness.exchange):
            raise Violation("the leader's machine is not what the journal gives")

    # Trouble

    def _disturb(self) -> None:
        self.faults += 1
        self._quiet_until = self.loop.time() + CALM_S * self.random.random()
        name, fault = self.random.choice(self._faults())
        self.trace.append(f"{self.loop.time():8.3f} {name}")
        fault()

    def _faults(self) -> list[tuple[str, Callable[[], None]]]:
        first, second = self.orders
        leader = next((node for node in self.orders if node.leads), first)
        return [
            ("the leader is killed", lambda: self._kill(leader)),
            ("the leader is killed soon", lambda: self._kill(leader)),
            ("the leader is paused", lambda: self._pause(leader)),
            ("the leader is paused soon", lambda: self._pause(leader)),
            ("the leader is cut off in silence", lambda: spawn(self.loop, self._silence(leader))),
            ("the leader stops", lambda: self._stop(leader)),
            ("order-2 is killed", lambda: self._kill(second)),
            ("the projector is killed", lambda: self._kill(self.projector)),
            ("the projector is killed and the leader", lambda: self._kill(self.projector, leader)),
            ("the projector is paused", lambda: self._pause(self.projector)),
            ("statements fail", lambda: self._for(0.6, self.database, trouble=0.25)),
            ("the database is down", lambda: self._for(1.0, self.database, down=True)),
            ("answers are lost", lambda: self._for(0.6, self.customers, lost=0.3)),
            ("the bus has trouble", lambda: self._for(0.6, self.bus, trouble=0.4)),
            ("the bus is down", lambda: self._for(1.0, self.bus, down=True)),
            ("the bus forgets", self.bus.flush),
            ("a clock jumps", lambda: self._jump(self.random.choice(self.orders))),
        ]

    def _kill(self, *nodes: Node) -> None:
        """After a few more of their steps, at whatever await that is; they come back some time later."""
        for node in nodes:
            process = node.process
            if process is not None and not process.countdown:
                process.countdown = self.random.randrange(1, 80)
            self.loop.call_later(0.02 + 1.5 * self.random.random() ** 2, self._back, node)

    @staticmethod
    def _back(node: Node) -> None:
        if node.process is not None and node.process.countdown:
            node.kill()
        node.start()

    def _pause(self, node: Node) -> None:
        """After a few more of its steps; those who still talk to it meanwhile are served when it goes on."""
        process, seconds = node.process, 3.0 * self.random.random()
        if process is None or process.countdown:
            return
        process.stop = process.park
        process.countdown = self.random.randrange(1, 80)
        self.loop.call_later(seconds, self._resume, node, process)
        for _ in range(3):
            self.loop.call_later(seconds * self.random.random(), self._talk, node)

    def _talk(self, node: Node) -> None:
        if isinstance(node, OrderNode):
            spawn(self.loop, self.customers.read(node))

    async def _silence(self, node: OrderNode) -> None:
        """The leader is cut off while nobody asks anything; others go on without it, and then somebody reads from it."""
        process, epoch = node.process, self._epoch()
        if process is None or process.countdown:
            return
        self._silent = True
        for _ in range(40):
            if not self.customers.under_way:
                break
            await asyncio.sleep(0.02)
        process.park()
        for _ in range(100):
            if self._epoch() != epoch:
                break
            await asyncio.sleep(0.02)
        self._silent = False
        await asyncio.sleep(0.2 * self.random.random())
        self._talk(node)
        await asyncio.sleep(0.01)
        self._resume(node, process)

    def _epoch(self) -> int:
        state = self.database.state()
        return 0 if state is None else state.epoch

    def _resume(self, node: Node, process: Process) -> None:
        if node.process is process:
            process.countdown, process.stop = 0, node.kill
            self.loop.resume(process)

    def _stop(self, node: OrderNode) -> None:
        """A planned stop; the process ends once it has handed over."""
        node.stop()
        self.loop.call_later(0.5, self._replace, node)

    @staticmethod
    def _replace(node: Node) -> None:
        node.kill()
        node.start()

    def _for(self, seconds: float, party: Any, **trouble: Any) -> None:
        before = {name: type(value)(0) for name, value in trouble.items()}
        for name, value in trouble.items():
            setattr(party, name, value)

        def heal() -> None:
            for name, value in before.items():
                setattr(party, name, value)

        self.loop.call_later(seconds * self.random.random(), heal)

    def _jump(self, node: Node) -> None:
        random = self.random
        node.jump(random.choice((-3_600, -2, -1, 1, 2, 40, 3_600)) * random.randrange(1, 1_000_000))
        self.loop.call_later(2 * random.random(), node.jump, 0)

    # The end

    async def _end(self) -> None:
        """Everything comes back, everyone is answered, everything is written. Raises Violation."""
        self.trace.append(f"{self.loop.time():8.3f} everything comes back")
        self._for(0.0, self.database, trouble=0.0, down=False)
        self._for(0.0, self.bus, trouble=0.0, down=False)
        self._for(0.0, self.customers, lost=0.0)
        await asyncio.sleep(4.0)
        for node in self.nodes:
            node.jump(0)
            node.start()
        database = self.database
        await self._until(lambda: not self.customers.under_way, "somebody is not answered")
        await self._until(
            lambda: database.position is not None and database.position.sequence == database.sequence,
            "the tables are not written",
        )
        await self._until(lambda: self.bus.sequence == database.sequence, "the bus is not written")
        self.check(deep=True)
        self.customers.check_refused()
        self.witness.check_tables()

    async def _until(self, done: Callable[[], bool], otherwise: str) -> None:
        end = self.loop.time() + HEAL_S
        while not done():
            if self.loop.time() > end:
                raise Violation(otherwise)
            await asyncio.sleep(0.02)
            self.check(deep=False)


def simulate(seed: int, steps: int, prepare: Callable[[Simulation], None] | None = None) -> Simulation:
    """Run a seed. Raises Violation, naming what does not hold and how to see it again."""
    loop = VirtualLoop()
    made = Simulation(seed, loop)
    loop.set_exception_handler(lambda _, context: made.alarms.raised.append(repr(context)))
    if prepare is not None:
        prepare(made)
    try:
        with standing_in(made.database, made.bus, made.random, made.alarms):
            try:
                loop.run_until_complete(made.run(steps))
            finally:
                _bury(loop, made)
    except Violation as violation:
        history = "\n".join(made.trace)
        again = f"python -m tests.simulation {seed} --steps {steps}"
        raise Violation(f"seed {seed}: {violation}\n{history}\nagain: {again}") from violation
    finally:
        loop.close()
    return made


def _bury(loop: VirtualLoop, made: Simulation) -> None:
    """End every process that there was, the killed ones too, so that nothing is left half way."""
    made.database.down, made.database.trouble = False, 0.0
    for node in made.nodes:
        for process in node.past:
            process.countdown = 0
            loop.resume(process)
    for _ in range(20):
        tasks = asyncio.all_tasks(loop)
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(asyncio.wait(tasks, timeout=5.0))
        loop.run_until_complete(loop.shutdown_asyncgens())
