"""The edit form over HTTP, as a browser without scripts sends it: what a save changes, resets, and does with a cover.

Not covered here: the form in a browser (tests/browser/test_covers.py).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from modelyard.domain import Licence, Model, Scope, Source, model_type
from modelyard.facts import Entry, Facts, Layer, Recommended, Record
from modelyard.web.pages import forms
from tests.app_fixture import App, Reply, a_private, open_app
from tests.pictures import picture

from .test_pages import OWN, Browser, signed_in

EDIT = f"/models/{OWN}/edit"
BOUNDARY = "----boundary"
UPSTREAM = Facts(
    name="upstream\nname",
    sd_name="own.pt",
    type=model_type("lora"),
    base_model="SD 1.5",
    base_model_type="Odd variant",
    tags=("one", "two"),
    categories=("Unlisted",),
    cover_url="https://elsewhere.example/a.png",
    is_nsfw=True,
)


class _FormParser(HTMLParser):
    """Collects the fields that a browser without scripts sends with the edit form."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[tuple[str, str]] = []
        self.is_inside, self.select, self.options = False, "", list[tuple[str, bool]]()
        self.textarea = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.is_inside = values.get("action") == EDIT
        if not self.is_inside:
            return
        if tag == "select":
            self.select, self.options = values["name"], []
        elif tag == "textarea":
            self.textarea = values["name"]
            self.fields.append((self.textarea, ""))
        elif tag == "option" and self.select:
            self.options.append((values.get("value", "\0"), "selected" in values))
        elif tag == "input" and values.get("type") not in ("checkbox", "file"):
            text = values["value"] if values.get("type") == "hidden" else values["value"].replace("\n", "")
            self.fields.append((values["name"], text))
        elif tag == "input" and "checked" in values:
            self.fields.append((values["name"], values["value"]))

    def handle_data(self, text: str) -> None:
        if self.textarea:
            # A line break after the tag is not part of the text; browsers send the others as CRLF.
            self.fields[-1] = (self.textarea, text.removeprefix("\n").replace("\n", "\r\n"))
        if self.options and self.options[-1][0] == "\0":
            self.options[-1] = (text, self.options[-1][1])

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.textarea = ""
        elif tag == "select" and self.select:
            selection = [value for value, is_selected in self.options if is_selected] or [self.options[0][0]]
            self.fields.append((self.select, selection[0]))
            self.select, self.options = "", []
        elif tag == "form":
            self.is_inside = False


def open_form(browser: Browser) -> list[tuple[str, str]]:
    parser = _FormParser()
    parser.feed(browser.ask(EDIT).body.decode())
    return parser.fields


def save(browser: Browser, form: list[tuple[str, str]], *, cover: bytes = b"", **changes: str) -> Reply:
    fields = [(name, text) for name, text in form if name not in changes] + [*changes.items()]
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in fields
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="cover"; filename="a.png"\r\n\r\n'
    body = b"".join([*parts, head.encode(), cover, f"\r\n--{BOUNDARY}--\r\n".encode()])
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    return browser.ask(EDIT, method="POST", body=body, **{"content-type": content_type})


def patch(yard: App, body: bytes) -> Reply:
    authorization = f"Bearer {yard.key('red', Scope.READ, Scope.WRITE)}"
    return yard.ask(f"/v3/model?id={OWN}", None, method="PATCH", body=body, authorization=authorization)


def import_facts(yard: App, facts: Facts) -> None:
    (outcome,) = yard.catalog.register_many([Record(OWN, Source.CIVITAI, Layer.UPSTREAM, facts)])
    assert "updated" == outcome.result, outcome


def facts_of_user(yard: App) -> Facts:
    entry = yard.store.entry(OWN)
    assert entry is not None
    # Each change has the date of the change as well.
    return replace(entry.layers.get(Layer.USER, Facts()), updated_at=None)


def model_of(yard: App) -> Model:
    entry = yard.store.entry(OWN)
    assert entry is not None
    return entry.model


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    """A model that an import made, of the team red."""
    with open_app(tmp_path) as app:
        own = a_private(OWN, "red", sd_name="own.pt")
        with app.store.transaction() as transaction:
            transaction.put([Entry(own, {Layer.UPSTREAM: UPSTREAM})])
        import_facts(app, UPSTREAM)
        yield app


@pytest.fixture
def red(yard: App) -> Browser:
    return signed_in(yard)


def test_a_save_pins_only_the_fields_that_changed(yard: App, red: Browser) -> None:
    reply = save(red, open_form(red), tags="mine")
    later = Facts(name="renamed", base_model="SDXL 1.0", tags=("three",), is_nsfw=False)
    import_facts(yard, later)

    assert 303 == reply.status
    assert Facts(tags=("mine",)) == facts_of_user(yard)
    model = model_of(yard)
    assert ("renamed", "SDXL 1.0", ("mine",), False) == (model.name, model.base_model, model.tags, model.is_nsfw)


def test_a_field_is_changed_and_reset_by_itself(yard: App, red: Browser) -> None:
    changes = {
        "name": "mine",
        "type_name": "controlnet",
        "base_model": "Mine",
        "base_model_type": "",
        "tags": "mine",
        "category": "character",
        "cover_url": "",
        "visibility": "public",
    }
    form = [(name, text) for name, text in open_form(red) if name != "is_nsfw"]
    save(red, form, **changes)
    expected = Facts(
        name="mine",
        type=model_type("controlnet"),
        base_model="Mine",
        base_model_type="",
        tags=("mine",),
        categories=("character",),
        cover_url="",
        is_nsfw=False,
    )
    assert expected == facts_of_user(yard)
    assert "<b>from upstream:</b> SD 1.5" in red.ask(EDIT).body.decode()

    for name, value in (
        ("name", "upstreamname"),
        ("type_name", "lora"),
        ("base_model", "SD 1.5"),
        ("base_model_type", "Odd variant"),
        ("tags", "one, two"),
    ):
        assert 303 == save(red, open_form(red), **{name: value}).status
    assert 303 == save(red, open_form(red), reset="cover_url", is_nsfw="1").status
    form = [(name, text) for name, text in open_form(red) if name != "category"]
    assert 303 == save(red, form).status
    assert Facts(name=facts_of_user(yard).name) == facts_of_user(yard)
    assert "SD 1.5" == model_of(yard).base_model


def test_two_people_who_change_different_fields_keep_both_changes(yard: App, red: Browser) -> None:
    first, second = open_form(red), open_form(red)
    save(red, first, tags="first")
    save(red, second, base_model="second")

    assert Facts(tags=("first",), base_model="second") == facts_of_user(yard)


def test_a_cover_is_saved_with_the_form_and_only_then(yard: App, red: Browser) -> None:
    form = open_form(red)
    assert Facts() == facts_of_user(yard)
    save(red, form, cover=picture(), tags="mine")

    facts = facts_of_user(yard)
    assert re.fullmatch(r"/covers/[0-9a-f]{32}/640\.webp", facts.cover_url or "")
    assert Facts(cover_url=facts.cover_url, tags=("mine",)) == facts
    save(red, open_form(red), uncover="1")
    assert "" == facts_of_user(yard).cover_url


def test_a_refused_picture_keeps_the_form_and_changes_nothing(yard: App, red: Browser) -> None:
    reply = save(red, open_form(red), cover=b"<svg>", tags="mine")
    page = reply.body.decode()

    assert 400 == reply.status
    assert "Choose the picture again" in page
    assert 'name="tags" value="mine"' in page
    assert 'name="before_tags" value="one, two"' in page
    assert Facts() == facts_of_user(yard)


def test_null_over_the_api_resets_a_field(yard: App) -> None:
    patch(yard, b'{"base_model": "Mine", "type_name": "vae", "tags": ["mine"]}')
    reply = patch(yard, b'{"base_model": null, "type_name": null}')

    assert (200, "SD 1.5") == (reply.status, reply.json["base_model"])
    assert Facts(tags=("mine",)) == facts_of_user(yard)


def test_a_name_that_no_other_source_has_is_not_reset(yard: App, red: Browser) -> None:
    with yard.store.transaction() as transaction:
        transaction.put([Entry(model_of(yard), {Layer.USER: Facts(name="own", sd_name="own.pt")})])
    reply = patch(yard, b'{"name": null}')

    assert 400 == reply.status
    assert "no other source names this model" in reply.json["message"]
    assert 'name="use"' not in red.ask(EDIT).body.decode()


@pytest.mark.parametrize(
    "body",
    [b"", b"--x", b"--x\r\n\r\n", b"--x\r\nno: name\r\n\r\n1\r\n--x--", b"\r\n--x" * 300 + b"--"],
)
def test_a_multipart_body_that_is_broken_is_refused(body: bytes) -> None:
    with pytest.raises(forms.errors.InvalidValue, match="the form cannot be read"):
        forms.parse_form(b"multipart/form-data; boundary=x", body)


def test_the_text_of_a_multipart_form_has_a_limit() -> None:
    field = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n%s\r\n--x--' % (b"a" * 70_000)

    with pytest.raises(forms.errors.TooLarge):
        forms.parse_form(b"multipart/form-data; boundary=x", field)


def multipart(*fields: tuple[str, bytes], file: bytes | None = None) -> bytes:
    parts = [b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % (name.encode(), text) for name, text in fields]
    if file is not None:
        parts.insert(1, b'content-disposition: form-data; name="picture"; filename="a.png"\r\nX: y\r\n\r\n' + file)
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data; boundary=x", 'Multipart/Form-Data;boundary="x" '],
)
def test_a_multipart_form_has_fields_and_a_file(content_type: str) -> None:
    body = multipart(("a", "é".encode()), ("b", b""), ("a", b"2\r\n3"), file=b"\r\n--picture\x00")

    form = forms.parse_form(content_type.encode(), body)

    assert forms.is_multipart(content_type.encode())
    assert ({"a": ["é", "2\r\n3"], "b": [""]}, b"\r\n--picture\x00") == (form.fields, form.file)
    assert b"" == forms.parse_form(content_type.encode(), multipart(("a", b"1"))).file


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "", "multipart/form-data", "multipart/mixed; boundary=x"]
)
def test_another_body_is_read_as_url_encoded(content_type: str) -> None:
    form = forms.parse_form(content_type.encode(), b"a=1&b=&a=%C3%A9+2")

    assert not forms.is_multipart(content_type.encode())
    assert ({"a": ["1", "é 2"], "b": [""]}, b"") == (form.fields, form.file)


def test_a_form_has_at_most_two_hundred_fields() -> None:
    for content_type, make in (
        (b"", lambda count: b"&".join([b"a=1"] * count)),
        (b"multipart/form-data; boundary=x", lambda count: multipart(*[("a", b"1")] * count)),
    ):
        assert 200 == len(forms.parse_form(content_type, make(200)).fields["a"])
        with pytest.raises(forms.errors.InvalidValue, match="the form cannot be read"):
            forms.parse_form(content_type, make(202))


def test_the_texts_of_a_multipart_form_have_64_kib_together() -> None:
    form = forms.parse_form(
        b"multipart/form-data; boundary=x", multipart(("a", b"a" * 65_535), ("b", b"b"), file=b"f" * 70_000)
    )

    assert [65_535, 1, 70_000] == [len(form.fields["a"][0]), len(form.fields["b"][0]), len(form.file)]
    with pytest.raises(forms.errors.TooLarge):
        forms.parse_form(b"multipart/form-data; boundary=x", multipart(("a", b"a" * 65_535), ("b", b"bb")))


def test_description_words_weight_and_licence_are_edited(yard: App, red: Browser) -> None:
    changes = {
        "description": "One\r\nTwo",
        "trigger_words": "harbour lights\r\nat dusk",
        "weight": "0,8",
        "weight_max": "1",
        "licence_name": "Open RAIL",
        "licence_image": "yes",
        "licence_sell": "no",
        "licence_derivatives": "no",
    }
    reply = save(red, open_form(red), **changes)

    licence = Licence("open-rail", "Open RAIL", None, ("image",), None, False, None)
    expected = Facts(
        description="One\nTwo",
        trigger_words=("harbour lights", "at dusk"),
        recommended=Recommended(weight=0.8, weight_max=1.0),
        licence=licence,
    )
    assert 303 == reply.status
    assert expected == facts_of_user(yard)
    assert 303 == save(red, open_form(red), tags="mine").status
    assert replace(expected, tags=("mine",)) == facts_of_user(yard)
    assert 303 == save(red, open_form(red), licence_name="", licence_image="", licence_rent="", licence_sell="").status
    assert Licence(allow_derivatives=False) == facts_of_user(yard).licence


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("weight", "much", "weight: &#39;much&#39; is not accepted; accepted: a number such as 0.8"),
        ("weight", "1e9", "a number from -10000 to 10000"),
        ("licence_url", "javascript:alert(1)", "an address beginning with https:// or http://"),
        ("licence_sell", "maybe", "yes, no, or nothing"),
        ("use", "tags.9", "use: &#39;tags.9&#39; is not accepted"),
        ("use", "nothing.3", "is not accepted"),
    ],
)
def test_a_value_that_is_not_accepted_is_named(yard: App, red: Browser, field: str, value: str, problem: str) -> None:
    reply = save(red, open_form(red), **{field: value})

    assert 400 == reply.status
    assert problem in reply.body.decode()
    assert Facts() == facts_of_user(yard)


def test_use_that_puts_the_value_of_a_source_into_the_form_and_saves_nothing(yard: App, red: Browser) -> None:
    save(red, open_form(red), tags="mine", base_model="Mine")
    reply = save(red, open_form(red), use="tags.3", base_model="Typed")
    page = reply.body.decode()

    assert 200 == reply.status
    assert 'name="tags" value="one, two"' in page
    assert 'name="base_model" value="Typed"' in page
    assert Facts(tags=("mine",), base_model="Mine") == facts_of_user(yard)
    fields = [(name, text) for name, text in open_form(red) if name != "tags"]
    save(red, fields, tags="one, two")
    assert Facts(base_model="Mine") == facts_of_user(yard)
