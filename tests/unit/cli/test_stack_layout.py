"""Ports and files of the local stack."""

from __future__ import annotations

import shutil
import socket
import stat
from pathlib import Path

import pytest

from services.cli.stack.components import COMPONENTS, OBJECT_STORE, environment, with_needs
from services.cli.stack.layout import Ports, StackFile, StackLayout, object_store_elsewhere
from services.shared.errors import DataCorrupt, FailedPrecondition, InvalidInput


def test_ports_stand_in_one_block() -> None:
    ports = list(vars(Ports.from_base(8000)).values())
    assert ports == list(range(8000, 8000 + len(ports)))


@pytest.mark.parametrize("base", [-1, 1, 1023, 55_001, 65_535])
def test_a_block_must_fit(base: int) -> None:
    with pytest.raises(InvalidInput, match="--port-base"):
        Ports.from_base(base)


def test_base_zero_finds_free_ports() -> None:
    assert Ports.from_base(0).taken() == {}


def test_a_taken_port_is_named_with_the_way_out() -> None:
    ports = Ports.from_base(0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports.curation))
        other.listen()
        with pytest.raises(FailedPrecondition, match=f"{ports.curation} \\(curation\\)") as caught:
            ports.check_free()
    assert "--port-base" in caught.value.remedy


def test_the_stack_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    stack = StackFile(Ports.from_base(8000))
    stack.write(path)
    assert StackFile.read(path) == stack
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ports": {}}', '{"ports": {"s3": 1}}'])
def test_a_broken_stack_file_names_the_remedy(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stack.json"
    path.write_text(text)
    with pytest.raises(DataCorrupt) as caught:
        StackFile.read(path)
    assert "lima down --purge" in caught.value.remedy


def test_rays_folder_keeps_socket_paths_short(tmp_path: Path) -> None:
    layout = StackLayout(tmp_path / ("deep" * 30))
    session = "session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"
    assert len(str(layout.ray_temp / session)) <= 107


def test_ray_is_not_ready_because_its_port_answers(tmp_path: Path) -> None:
    layout, ports = StackLayout(tmp_path), Ports.from_base(0)
    with socket.socket() as head:
        head.bind(("127.0.0.1", ports.ray))
        head.listen()
        assert not COMPONENTS["ray"].is_ready(layout, ports)
        layout.ray_address.parent.mkdir()
        try:
            layout.ray_address.write_text(f"127.0.0.1:{ports.ray + 1}")
            assert not COMPONENTS["ray"].is_ready(layout, ports)
            layout.ray_address.write_text(f"127.0.0.1:{ports.ray}")
            assert COMPONENTS["ray"].is_ready(layout, ports)
        finally:
            shutil.rmtree(layout.ray_temp)


def test_a_store_elsewhere_takes_the_place_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"LIMA_OBJECT_STORE_ENDPOINT": "https://s3.example.org", "LIMA_OBJECT_STORE_BUCKET": "elsewhere"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    stack = StackFile(Ports.from_base(8000), object_store=object_store_elsewhere())
    assert stack.object_store == told
    assert environment(StackLayout(tmp_path), stack).items() >= told.items()
    assert [component.name for component in with_needs(("curation",), stack)] == ["curation"]


def test_without_a_store_elsewhere_the_stack_has_its_own() -> None:
    stack = StackFile(Ports.from_base(8000), object_store=object_store_elsewhere())
    assert [component.name for component in with_needs(("curation",), stack)] == [OBJECT_STORE, "curation"]
