"""From pools of candidates to the examples of each split, by the quotas and the draws of each source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.curation.decontamination import PromptIndex
from services.curation.draws import interleave, shuffled, temperature_weights
from services.curation.funnel import Funnel
from services.curation.pool import Key, Pool
from services.curation.sources.source import Draw
from services.curation.spec import Quota
from services.shared.errors import FailedPrecondition
from services.shared.records import Split

HELD_OUT, BENCHMARK = "shares a prompt with dev or test", "in a benchmark"
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
HELD_OUT_SPLITS: tuple[Split, ...] = ("dev", "test")


class QuotaNotFilled(FailedPrecondition):
    """The candidates cannot fill a quota."""


@dataclass(slots=True)
class Wanted:
    """One source in a selection: what it offers and what is asked of it."""

    name: str
    pool: Pool
    draw: Draw
    quota: Quota
    # Candidates that may not go into train, being like a prompt of a benchmark.
    barred: frozenset[str] = frozenset()
    chosen: dict[Split, list[str]] = field(default_factory=lambda: {split: [] for split in SPLITS})


def draw_order(source: str, keys: Sequence[Key], draw: Draw, seed: int) -> list[str]:
    """All candidates in the order in which they are drawn."""
    strata: dict[str, list[Key]] = defaultdict(list)
    for key in keys:
        strata["" if draw.strata == "none" else key.stratum].append(key)
    names = {stratum: _within(source, members, draw, seed) for stratum, members in strata.items()}
    if draw.per_stratum is not None:
        names = {stratum: members[: draw.per_stratum] for stratum, members in names.items()}
    if draw.strata == "none":
        return names.get("", [])
    if draw.strata == "uniform":
        weights = dict.fromkeys(names, 1.0)
    else:
        weights = temperature_weights({stratum: len(members) for stratum, members in names.items()}, draw.temperature)
    return interleave(seed, f"{source}/strata", names, weights)


def _within(source: str, keys: Sequence[Key], draw: Draw, seed: int) -> list[str]:
    if draw.within == "score":
        return [key.id for key in sorted(keys, key=lambda key: (-key.score, key.id))]
    return shuffled(seed, f"{source}/within", [key.id for key in keys])


def select(sources: Sequence[Wanted], seed: int, decontaminate: bool) -> None:
    """Fill `chosen` of every source. Dev and test are chosen first, so that train can keep clear of their prompts.

    Raises QuotaNotFilled, naming for every short source which filter ate the candidates.
    """
    orders = {
        source.name: draw_order(source.name, list(source.pool.keys.values()), source.draw, seed) for source in sources
    }
    for source in sources:
        _hold_out(source, orders[source.name], seed)
    held_out = PromptIndex()
    for source in sources if decontaminate else ():
        for name in (*source.chosen["dev"], *source.chosen["test"]):
            held_out.add(source.pool.candidate(name).prompt())
    for source in sources:
        _take_train(source, orders[source.name], held_out, decontaminate)
    _check(sources)


def _hold_out(source: Wanted, order: Sequence[str], seed: int) -> None:
    """Dev and test: first what was written for them, then a random part of what would be drawn.

    The best of the drawn candidates must not all end up in one split, hence the shuffle of the drawn window.
    """
    keys, quota = source.pool.keys, source.quota
    for split in HELD_OUT_SPLITS:
        written = [name for name in order if keys[name].split == split]
        source.chosen[split] = written[: getattr(quota, split)]
    free = [name for name in order if keys[name].split is None]
    written_train = sum(1 for name in order if keys[name].split == "train")
    missing = {split: getattr(quota, split) - len(source.chosen[split]) for split in HELD_OUT_SPLITS}
    window = free[: max(0, quota.train - written_train) + sum(missing.values())]
    mixed = shuffled(seed, f"{source.name}/splits", window)
    for split in HELD_OUT_SPLITS:
        taken, mixed = mixed[: missing[split]], mixed[missing[split] :]
        source.chosen[split].extend(taken)


def _take_train(source: Wanted, order: Sequence[str], held_out: PromptIndex, decontaminate: bool) -> None:
    keys, wanted = source.pool.keys, source.quota.train
    taken = {*source.chosen["dev"], *source.chosen["test"]}
    written = [name for name in order if keys[name].split == "train"]
    free = [name for name in order if keys[name].split is None and name not in taken]
    if decontaminate and wanted:
        source.pool.funnel.declare(HELD_OUT)
    for name in (*written, *free):
        if len(source.chosen["train"]) == wanted:
            return
        candidate = source.pool.candidate(name)
        if name in source.barred:
            source.pool.drop(BENCHMARK, name, "its prompt is in a benchmark")
            continue
        if candidate.messages[-1].role != "assistant":
            continue
        if decontaminate and held_out.contaminates(candidate.prompt()):
            source.pool.drop(HELD_OUT, name, "its prompt is in dev or test")
            continue
        source.chosen["train"].append(name)


def _check(sources: Sequence[Wanted]) -> None:
    problems = []
    for source in sources:
        for split in SPLITS:
            wanted, got = getattr(source.quota, split), len(source.chosen[split])
            if got < wanted and not source.quota.allow_fewer:
                problems.append(
                    f"{source.name}: {split} wants {wanted} examples, the candidates give {got}; {explain(source.pool)}"
                )
    if problems:
        raise QuotaNotFilled(
            "\n".join(problems),
            remedy="Lower the quota, set allow_fewer, loosen a filter named, review more, or import a larger corpus.",
        )


def explain(pool: Pool) -> str:
    """Where the candidates of a source went, in a sentence."""
    funnel = pool.funnel
    removing = [step for step in funnel.steps if step.removed]
    # The filters that ate the most, and the last one, which is the nearest to mend.
    most = sorted(removing, key=lambda step: -step.removed)[:3]
    steps = [step for step in removing if step in most or step is removing[-1]]
    if not funnel.entered:
        return f"the corpus holds none of this kind{explain_malformed(funnel)}"
    removed = ", ".join(f"'{step.filter}' removed {step.removed}" for step in steps) or "no filter removed any"
    return f"of {funnel.entered} read, {removed}; {len(pool.keys)} are left{explain_malformed(funnel)}"


def explain_malformed(funnel: Funnel) -> str:
    """How many records could not be read, and where the first of them stands; nothing where all could."""
    if not funnel.malformed_count:
        return ""
    first = funnel.malformed[0]
    return (
        f"; {funnel.malformed_count} malformed records were skipped, the first at byte {first.offset} of {first.file} "
        f"({first.reason})"
    )


def split_counts(sources: Sequence[Wanted]) -> Mapping[Split, int]:
    return {split: sum(len(source.chosen[split]) for source in sources) for split in SPLITS}
