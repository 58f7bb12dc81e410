"""The exchanges of the network in the paper's groups: data in exchanges.json."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Literal

Group = Literal["stem", "other", "dropped"]


@cache
def exchange_groups() -> dict[str, Group]:
    """Host name to group, for every exchange of the list."""
    lists: dict[Group, list[str]] = json.loads((Path(__file__).parent / "exchanges.json").read_text())["groups"]
    return {host: group for group, hosts in lists.items() for host in hosts}


def group_of(host: str) -> Group:
    """The group of an exchange. Meta sites are dropped; an exchange younger than the list is counted as other."""
    if host.startswith("meta.") or ".meta." in host:
        return "dropped"
    return exchange_groups().get(host, "other")
