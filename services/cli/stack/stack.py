"""The local stack as a whole: start what is not running, say what runs, stop it, remove its data.

with Stack(state_dir).started("object-store", "curation") as settings: ...
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.cli.stack import process
from services.cli.stack.components import (
    COMPONENTS,
    OBJECT_STORE,
    Component,
    components_of,
    environment,
    listening,
    with_needs,
)
from services.cli.stack.layout import DEFAULT_PORT_BASE, Ports, StackFile, StackLayout, object_store_elsewhere
from services.cli.stack.space import check_space
from services.shared.errors import FailedPrecondition, Unavailable
from services.shared.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLL_SECONDS = 0.1
RUN_PATIENCE = 60.0


@dataclass(frozen=True)
class ComponentStatus:
    name: str
    # "ready", "starting", "stopped", or "elsewhere" for an S3 server that is not a part of the stack.
    state: str
    pid: int | None
    port: int | None
    resident_mib: float | None
    log: Path


class Stack:
    def __init__(self, state_dir: Path) -> None:
        self.layout = StackLayout(state_dir)

    def file(self) -> StackFile | None:
        return StackFile.read(self.layout.stack_file)

    def settings(self) -> Settings:
        """Settings that reach this stack if it exists, else those of the environment alone."""
        stack = self.file()
        if stack is None:
            return Settings(state_dir=self.layout.state_dir)
        told = environment(self.layout, stack)
        fields = {name.removeprefix("LIMA_").lower(): value for name, value in told.items() if name.startswith("LIMA_")}
        return Settings(**fields)

    def environment(self) -> dict[str, str]:
        """What a child process needs to be a part of this stack. The stack file must exist."""
        stack = self.file()
        if stack is None:
            raise FailedPrecondition("no stack was started here", remedy="lima up")
        return environment(self.layout, stack)

    def running(self) -> list[str]:
        return [name for name in COMPONENTS if self.process_file(name).find() is not None]

    def is_whole(self) -> bool:
        """Whether all of it runs."""
        stack = self.file()
        return stack is not None and set(self.running()) == set(components_of(stack))

    def status(self) -> list[ComponentStatus]:
        stack = self.file()
        return [self.component_status(component, stack) for component in COMPONENTS.values()]

    def start(self, *names: str, port_base: int | None = None) -> list[str]:
        """Start the named components and what they need; return those that were not running before.

        Raises FailedPrecondition for a taken port or a full disk, Unavailable for a program that does not come up or
        an S3 server elsewhere that does not answer.
        """
        with self.lock():
            check_space(self.layout)
            self.layout.create()
            stack = self.stack_file(port_base)
            if stack.object_store:
                self.check_object_store()
            wanted = with_needs(names, stack)
            started = [component for component in wanted if self.launch(component, stack)]
            for component in wanted:
                self.wait(component, stack)
            return [component.name for component in started]

    def stop(self, *names: str) -> list[str]:
        """End the named components, or all; return those that were running.

        All at once, but the object store last: the others may still write their last word.
        """
        if not names or "ray" in names:
            # A run saves its state when it is asked to end; it cannot once Ray is gone.
            self.stop_runs()
        chosen = [name for name in self.running() if not names or name in names]
        users = [name for name in chosen if name != OBJECT_STORE]
        with ThreadPoolExecutor() as pool:
            list(pool.map(self.stop_one, users))
        for name in set(chosen) - set(users):
            self.stop_one(name)
        if not names or "ray" in names:
            process.stop_by_argument(str(self.layout.ray_temp))
        return chosen

    def stop_runs(self) -> None:
        for path in self.layout.processes.glob("run-*.json"):
            running = process.ProcessFile(path).find()
            if running is not None:
                process.stop(running, RUN_PATIENCE)

    def stop_one(self, name: str) -> None:
        file = self.process_file(name)
        running = file.find()
        if running is not None:
            process.stop(running, COMPONENTS[name].patience)
        file.remove()

    def purge(self) -> None:
        """Remove everything the stack ever wrote on this machine."""
        for folder in (self.layout.ray_temp, self.layout.state_dir):
            shutil.rmtree(folder, ignore_errors=True)

    def process_file(self, name: str) -> process.ProcessFile:
        return process.ProcessFile(self.layout.processes / f"{name}.json")

    def log(self, name: str) -> Path:
        return self.layout.logs / f"{name}.log"

    def stack_file(self, port_base: int | None) -> StackFile:
        stack = self.file()
        store = object_store_elsewhere()
        if stack is not None and self.running():
            if store and store != stack.object_store:
                raise FailedPrecondition(
                    f"the stack of {self.layout.state_dir} runs with another store than the environment names",
                    remedy="lima down, then run the same command again; or unset LIMA_OBJECT_STORE_ENDPOINT",
                )
            return stack
        if stack is None or port_base is not None:
            ports = Ports.from_base(DEFAULT_PORT_BASE if port_base is None else port_base)
            ports.check_free()
            # Keys stay as they were: the object store's data was written under them.
            stack = StackFile(ports) if stack is None else replace(stack, ports=ports)
        # The environment decides at each start; commands that come later follow what was decided.
        stack = replace(stack, object_store=store)
        stack.write(self.layout.stack_file)
        return stack

    def check_object_store(self) -> None:
        """Raise what is wrong with the S3 server elsewhere before anything is started."""
        from services.shared.objects import ObjectStore

        ObjectStore.from_settings(self.settings()).find_bucket()

    def launch(self, component: Component, stack: StackFile) -> bool:
        file = self.process_file(component.name)
        if file.find() is not None:
            return False
        if component.name == "ray":
            # A killed head leaves its helpers behind, and they would answer for the new one.
            process.stop_by_argument(str(self.layout.ray_temp))
            self.layout.ray_address.unlink(missing_ok=True)
        for need in with_needs(component.needs, stack):
            self.wait(need, stack)
        lives_on = bool(component.host) and self.process_file(component.host).find() is not None
        if component.is_ready(self.layout, stack.ports) and not lives_on:
            raise FailedPrecondition(
                f"port {component.port(stack.ports)} ({component.name}) on 127.0.0.1 is taken by another program",
                remedy="end that program, or: lima down, then lima up --port-base 7500",
            )
        command = component.command(self.layout, stack)
        told = environment(self.layout, stack) | listening(component, stack.ports)
        process.start(command, told, self.log(component.name), file)
        return True

    def wait(self, component: Component, stack: StackFile) -> None:
        deadline = time.monotonic() + component.seconds
        launches = component.launches
        while not component.is_ready(self.layout, stack.ports):
            if self.process_file(component.name).find() is None:
                launches -= 1
                if not launches:
                    self.fail(component, "ended while it started")
                self.launch(component, stack)
            if time.monotonic() > deadline:
                self.fail(component, f"was not ready after {component.seconds:.0f} s")
            time.sleep(POLL_SECONDS)

    def fail(self, component: Component, what: str) -> None:
        log = self.log(component.name)
        raise Unavailable(
            f"{component.name} {what}. The end of {log}:\n{process.log_tail(log)}",
            remedy="mend what the log names, then run the same command again; lima doctor checks this machine",
        )

    def component_status(self, component: Component, stack: StackFile | None) -> ComponentStatus:
        if stack is not None and component.name not in components_of(stack):
            return ComponentStatus(component.name, "elsewhere", None, None, None, self.log(component.name))
        running = self.process_file(component.name).find()
        ready = running is not None and stack is not None and component.is_ready(self.layout, stack.ports)
        return ComponentStatus(
            name=component.name,
            state="ready" if ready else "stopped" if running is None else "starting",
            pid=running.pid if running else None,
            port=component.port(stack.ports) if stack and running else None,
            resident_mib=process.resident_mib(running) if running else None,
            log=self.log(component.name),
        )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the right to start processes; a second `lima up` at the same moment waits for the first."""
        self.layout.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.layout.lock_file, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
