"""tantivy: an inverted index for everything, ordered by a fast field."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tantivy

from benchmarks.rivals.asking import FILTERS, GRAM, Ask, Asked, Item, grams

_ID_BITS = 31


class Tantivy:
    """tantivy: terms for filters, grams of one to three characters for text, a fast field of rank and id for order."""

    name = "tantivy"

    def __init__(self, folder: Path, found: Iterable[Item]) -> None:
        schema = tantivy.SchemaBuilder()
        schema.add_unsigned_field("place", indexed=True, fast=True)
        schema.add_text_field("filter", tokenizer_name="raw", index_option="basic")
        schema.add_text_field("text", stored=True, tokenizer_name="grams", index_option="basic")
        schema.add_bytes_field("record", stored=True)
        self._schema = schema.build()
        folder.mkdir()
        index = tantivy.Index(self._schema, str(folder))
        grams = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.ngram(1, GRAM)).build()
        index.register_tokenizer("grams", grams)
        writer = index.writer(heap_size=2_000_000_000, num_threads=1)
        for item in found:
            writer.add_document(self._document(item))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        self._searcher = index.searcher()

    def _document(self, item: Item) -> tantivy.Document:
        document = tantivy.Document()
        document.add_unsigned("place", _place(item.rank, item.id))
        named = [f"{name}={value}" for name, value in zip(FILTERS, item.filters, strict=True)]
        named += [f"tag={tag}" for tag in item.tags] + [f"hash={digits}" for digits in item.hashes]
        for word in (*named, f"id={item.id}"):
            document.add_text("filter", word)
        document.add_text("text", item.text)
        document.add_bytes("record", item.record)
        return document

    def prepare(self, asked: Asked) -> Ask:
        """Return the question ready to be put."""
        if not asked.owners:
            return list
        query = asked.query
        must = [self._any_of([f"owner={owner}" for owner in asked.owners])]
        if query.types:
            must.append(self._any_of([f"type={name}" for name in sorted(query.types)]))
        single = [f"{name}={value}" for name, value in asked.equal.items()] + [f"tag={tag}" for tag in query.tags]
        single += [f"id={query.id}"] if query.id is not None else []
        single += [f"hash={query.hash}"] if query.hash is not None else []
        must += [tantivy.Query.term_query(self._schema, "filter", word, "basic") for word in single]
        for term in query.terms:
            pieces = grams(term) if len(term) > GRAM else [term]
            must += [tantivy.Query.term_query(self._schema, "text", piece, "basic") for piece in pieces]
        # What the grams of a longer term find may hold it in pieces.
        unsure = tuple(term for term in query.terms if len(term) > GRAM)
        before = _place(asked.after.rank, asked.after.id) if asked.after is not None else None
        if unsure:
            return lambda: self._verified(must, unsure, before, asked.skip, query.limit)
        whole = self._all_of(must, before)
        return lambda: [self._record(hit) for hit in self._hits(whole, query.limit, asked.skip)]

    def _any_of(self, words: list[str]) -> tantivy.Query:
        return tantivy.Query.term_set_query(self._schema, "filter", words)

    def _all_of(self, must: list[tantivy.Query], before: int | None) -> tantivy.Query:
        if before is not None:
            kind = tantivy.FieldType.Unsigned
            reach = tantivy.Query.range_query(self._schema, "place", kind, upper_bound=before, include_upper=False)
            must = [*must, reach]
        return tantivy.Query.boolean_query([(tantivy.Occur.Must, part) for part in must])

    def _hits(self, query: tantivy.Query, limit: int, skip: int) -> list[Any]:
        hits: list[Any] = self._searcher.search(query, limit, False, "place", skip).hits
        return hits

    def _record(self, hit: Any) -> bytes:
        return bytes(self._searcher.doc(hit[1])["record"][0])

    def _verified(
        self, must: list[tantivy.Query], terms: tuple[str, ...], before: int | None, skip: int, limit: int
    ) -> list[bytes]:
        found: list[bytes] = []
        while len(found) < skip + limit:
            hits = self._hits(self._all_of(must, before), limit, 0)
            for _, address in hits:
                document = self._searcher.doc(address)
                text = document["text"][0]
                if all(term in text for term in terms):
                    found.append(document["record"][0])
            if len(hits) < limit:
                break
            before = hits[-1][0]
        return found[skip : skip + limit]


def _place(rank: int, model_id: int) -> int:
    assert rank >= 0, "tantivy is given unsigned places"
    return rank << _ID_BITS | model_id
