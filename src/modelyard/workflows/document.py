"""A body → what it needs: its bytes decide what it is, and its media type only where they do not."""

from typing import Any

import msgspec

from modelyard import errors
from modelyard.workflows import generators, graphs, pictures, prompts
from modelyard.workflows.needs import NeedCollector, Needs

BODY_BYTES_MAX = 32 * 1024 * 1024
# A value takes up to 100 bytes once it is decoded. The largest of the public templates has 20,000.
VALUES_MAX = 1_000_000
ACCEPTED = (
    'a workflow of ComfyUI (JSON), a list of models ({"models": [...]}), a picture with a workflow or parameters in it '
    "(PNG, JPEG, WebP, AVIF), or the text of its parameters"
)


def read_needs(body: bytes) -> Needs:
    """Return what a workflow, a picture or a text needs. Cost: about 5 ms per MB. Raises UnsupportedFile."""
    needs = NeedCollector()
    if len(body) > BODY_BYTES_MAX:
        raise errors.UnsupportedFile(f"the file has more than {BODY_BYTES_MAX // 2**20} MiB")
    if pictures.is_picture(body):
        _read_picture(body, needs)
    else:
        _read_text(body, needs)
    return needs.collect()


def read_page_graph(body: bytes) -> dict[str, Any]:
    """Return the graph of ComfyUI's page that a file is, or that a picture holds. Raises UnsupportedFile."""
    if len(body) <= BODY_BYTES_MAX and pictures.is_picture(body):
        try:
            body = pictures.read_texts(body).get("workflow", "").encode("utf-8", "replace")
        except pictures.TooMuchTextError:
            body = b""
    document = _decode(body)
    if not isinstance(document, dict) or not graphs.is_page_graph(document):
        raise errors.UnsupportedFile(
            "format=workflow needs a workflow as ComfyUI's page saves it, or a picture with one"
        )
    return document


def _read_picture(body: bytes, needs: NeedCollector) -> None:
    try:
        texts = pictures.read_texts(body)
    except pictures.TooMuchTextError:
        limit = pictures.TEXT_BYTES_MAX // 2**20
        raise errors.UnsupportedFile(f"the picture holds more than {limit} MiB of text") from None
    is_known = False
    for name in ("workflow", "prompt", "sui_image_params", "parameters", "invokeai_metadata"):
        text = texts.get(name)
        if text is None:
            continue
        document = _decode(text.encode("utf-8", "replace"))
        if name == "invokeai_metadata" and isinstance(document, dict):
            generators.read_invoke(document, needs)
            is_known = True
        elif isinstance(document, dict):
            is_known |= _read_document(document, needs)
        elif name == "parameters":
            is_known |= prompts.read_settings(text, needs)
    if not is_known:
        raise errors.UnsupportedFile(f"the picture has no workflow and no parameters; accepted: {ACCEPTED}")


def _read_text(body: bytes, needs: NeedCollector) -> None:
    document = _decode(body)
    if isinstance(document, dict):
        is_known = _read_document(document, needs)
    else:
        is_known = b"\0" not in body[:4096] and prompts.read_settings(body.decode("utf-8", "replace"), needs)
    if not is_known:
        raise errors.UnsupportedFile(f"this is no workflow; accepted: {ACCEPTED}")


def _read_document(document: dict[str, Any], needs: NeedCollector) -> bool:
    """Collect the needs of a JSON document; return whether it is of a kind that we know."""
    prompt = document.get("prompt")
    if graphs.is_page_graph(document):
        graphs.read_page_graph(document, needs)
    elif graphs.is_api_graph(document):
        graphs.read_api_graph(document, needs)
    elif isinstance(prompt, dict) and graphs.is_api_graph(prompt):
        graphs.read_api_graph(prompt, needs)
    elif "sui_image_params" in document:
        generators.read_swarm(document, needs)
    elif isinstance(document.get("models"), list):
        graphs.read_declarations(document["models"], (), needs)
    else:
        return False
    return True


def _decode(body: bytes) -> Any:
    """Return the value of JSON; None for what is none. Raises UnsupportedFile where it would take too much memory."""
    if body.lstrip()[:1] not in (b"{", b"["):
        return None
    if body.count(b",") + body.count(b"{") + body.count(b"[") > VALUES_MAX:
        raise errors.UnsupportedFile(f"the workflow has more than {VALUES_MAX:,} values")
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise errors.UnsupportedFile("the workflow is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
