"""What another server refuses, in words that a user or an operator can act on."""

from modelyard import errors
from modelyard.fetches.offers import Hosts, Offer
from modelyard.outbound import Answer, Outbound, origin_of

_MESSAGE_BYTES_MAX = 64 * 1024
_MESSAGE_CHARS_MAX = 300
_TOKEN_PAGES = {
    "CIVITAI_TOKEN": "https://civitai.com/user/account",
    "HF_TOKEN": "https://huggingface.co/settings/tokens",
}


def refuse_answer(answer: Answer, offer: Offer, hosts: Hosts, outbound: Outbound) -> None:
    """Raise the error of an answer that has no file. Raises TemporaryFailure if trying again may help."""
    is_page = answer.headers.get_content_type() in ("text/html", "application/xhtml+xml")
    is_sign_in = is_page and answer.url.split("?", 1)[0].endswith(("/login", "/sign-in"))
    if answer.status in (401, 403) or is_sign_in:
        raise errors.UpstreamRefused(_describe_access(answer, offer, hosts, outbound))
    if answer.status in (404, 410):
        words = _read_message(answer) if answer.status == 404 else ""
        raise errors.DownloadFailed(f"{answer.host} has no such file (status {answer.status}){words}")
    if answer.status == 451:
        raise errors.DownloadFailed(f"{answer.host} may not give this file for legal reasons (status 451)")
    answer.refuse_status(200, 206, 416)
    if is_page:
        raise page_error(answer)


def page_error(answer: Answer) -> errors.DownloadFailed:
    """Return the error of an answer that is a page."""
    return errors.DownloadFailed(
        f"{answer.host} answers with a page (HTML), not with a file; use the file's own address"
    )


def _describe_access(answer: Answer, offer: Offer, hosts: Hosts, outbound: Outbound) -> str:
    origin = origin_of(offer.url)
    token = hosts.token_names.get(origin)
    refusal = f"{answer.host} refuses the file (status {answer.status}){_read_message(answer)}"
    if token is None:
        return f"{refusal}; this server has no token for {answer.host}"
    if not outbound.has_token(offer.url):
        licence = f", and accept the licence at {offer.page}" if _is_gated(answer) and offer.page else ""
        return f"{refusal}; set {token} for the server (a token from {_TOKEN_PAGES[token]}){licence}"
    if _is_gated(answer) and offer.page:
        return f"{refusal}; accept the licence at {offer.page} with the account of {token}, then fetch again"
    if answer.status == 401:
        return f"{refusal}; {token} is not valid any more, or may not read this"
    return f"{refusal}; the account of {token} may not have it: look at {offer.page or 'its page'} for what it needs"


def _is_gated(answer: Answer) -> bool:
    return "gated" in answer.headers.get("X-Error-Code", "").lower()


def _read_message(answer: Answer) -> str:
    """Return what the server says, short and printable."""
    text: object = answer.headers.get("X-Error-Message")
    if text is None and answer.headers.get_content_type() == "application/json":
        try:
            body = answer.read_json(_MESSAGE_BYTES_MAX)
        except errors.ModelyardError:
            body = None
        text = body.get("message") or body.get("error") if isinstance(body, dict) else None
    if not isinstance(text, str):
        return ""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f": {line[:_MESSAGE_CHARS_MAX]}" if line else ""
