"""A cache of cited answers, for the same question or one with the same meaning (GPTCache, Bang 2023).

An answer is shared within one tenant, one set of roles and groups, one day and the same models. Every cited document is looked up again
with the caller's rights. Two questions mean the same when their vectors are near and their significant words are equal; vectors alone do
not tell such questions apart (`make bench-cache`).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from extensions.answer_cache.settings import AnswerCacheSettings
from extensions.planned_agent.contract import Recalled
from foundation.clock import Clock
from foundation.stores.erasures import Erasures, demand
from foundation.text.lexical import FUNCTION_WORDS
from foundation.types import Principal
from models.contract import Embeddings
from models.embedding import Vectors, embed_query
from models.resilience.resilient_chat import chosen_model
from orchestration.effects.policy import Policy
from orchestration.events import Answer
from retrieval.contract import DocumentLedger
from retrieval.documents import Citation
from serving.contract import Cache

# Punctuation to strip around a word. Signs with a meaning (`%`, `+`, `#`, `€`, a minus) belong to the word.
_EDGES = ".,;:!?¿¡…()[]{}'\"“”„‘«»‹›。、，！？：；（）「」『』؟،؛।"  # noqa: RUF001 - these very signs
# a question with one of these is English; in other languages `a`, `do` and `am` are significant words
_ENGLISH = frozenset("the what how when where who why which is are does can you my".split())  # noqa: SIM905 - reads best as text
_NEUTRAL = frozenset("a an the is are am be do does of please".split())  # noqa: SIM905 - as above
_COURTESIES = tuple(
    tuple(phrase.split())
    for phrase in (
        "can you tell me", "could you tell me", "can you please tell me", "could you please tell me", "please tell me", "tell me",
        "i would like to know", "i'd like to know", "i want to know", "do you know", "may i ask", "one question", "a question",
        "thank you very much", "thank you", "thanks", "thanks a lot", "please", "hello", "hi", "bitte", "danke", "hallo",
        "por favor", "gracias", "hola", "s'il vous plaît", "merci", "bonjour", "per favore", "grazie",
    )
)  # fmt: skip
_ENDING = re.compile(r"(?<=[a-z]{3}[a-rt-z])s$")
_PREFIX = "answers "
# Questions of one partition that a new one is compared with; they travel to the cache and back in one value
RECENT = 200


async def forget(cache: Cache, tenant: str) -> int:
    """Delete every answer and question of a tenant; return the number of entries."""
    return await cache.forget(tenant, _PREFIX)


class AnswerCache:
    """A cache of answers from documents, by tenant and permissions. Raises ComponentError: it cannot be reached."""

    def __init__(
        self,
        settings: AnswerCacheSettings,
        cache: Cache,
        *,
        ledger: DocumentLedger,
        embedder: Embeddings,
        clock: Clock,
        policy: Policy,
        writer: str,
        erasures: Erasures,
    ) -> None:
        """`writer` names the models that make the answers, with their weights: other models' answers are not reused."""
        self._settings, self._cache, self._ledger = settings, cache, ledger
        self._embedder, self._clock, self._policy, self._writer = embedder, clock, policy, writer
        self._erasures, self._erasures_before = erasures, erasures.total()
        self._erasures_seen: dict[str, int] = {}

    def now(self) -> int:
        """Return the ledger's current sequence, for `since` of `remember`."""
        return self._ledger.sequence()

    async def recall(self, question: str, *, compose: str, principal: Principal) -> Recalled | None:
        await self._forget_erased(principal.tenant)
        partition = self._partition(compose, principal)
        exact = await self._valid(_key(partition, question), "exact", principal)
        if exact or self._settings.mode != "semantic":
            return exact
        vector = await asyncio.to_thread(embed_query, self._embedder, question)
        recent = await self._recent_questions(partition, principal)
        for candidate in _nearest(recent, vector, self._settings.min_similarity):
            if same_details(question, candidate.question) and (
                recalled := await self._valid(_key(partition, candidate.question), "semantic", principal)
            ):
                return recalled
        return None

    async def remember(self, answer: Answer, *, compose: str, principal: Principal, since: int) -> None:
        """Store an answer for a while, unless the documents have changed since the ledger's sequence `since`."""
        sources = await asyncio.to_thread(self._sources, answer.citations, principal)
        if sources is None or await asyncio.to_thread(self.now) != since:
            return
        # raises PersonErased where the caller was erased while the answer was made
        demand()
        record = {
            "answer_id": answer.answer_id,
            "text": answer.text,
            "path": answer.path,
            "citations": [asdict(citation) for citation in answer.citations],
            "sources": sources,
        }
        partition, ttl_s = self._partition(compose, principal), self._settings.ttl_s
        key, packed = _key(partition, answer.question), json.dumps(record).encode()
        await self._cache.set(principal.tenant, key, packed, ttl_s=ttl_s)
        if self._settings.mode == "semantic":
            vector = await asyncio.to_thread(embed_query, self._embedder, answer.question)
            recent = await self._recent_questions(partition, principal)
            others = [entry for entry in recent if entry.question != answer.question]
            questions = [*others, _Asked(answer.question, vector)][-RECENT:]
            await self._cache.set(principal.tenant, f"{partition} asked", _pack(questions), ttl_s=ttl_s)

    async def _forget_erased(self, tenant: str) -> None:
        total = await asyncio.to_thread(self._erasures.total)
        if total != self._erasures_seen.get(tenant, self._erasures_before):
            # all of the tenant's: an entry does not say who asked first
            await forget(self._cache, tenant)
            self._erasures_seen[tenant] = total

    async def _recent_questions(self, partition: str, principal: Principal) -> list[_Asked]:
        return _unpack(await self._cache.get(principal.tenant, f"{partition} asked"))

    async def _valid(self, key: str, kind: Literal["exact", "semantic"], principal: Principal) -> Recalled | None:
        packed = await self._cache.get(principal.tenant, key)
        if packed is None:
            return None
        record: Mapping[str, Any] = json.loads(packed)
        citations = tuple(Citation(**fields) for fields in record["citations"])
        if await asyncio.to_thread(self._sources, citations, principal) != record["sources"]:
            await self._cache.delete(principal.tenant, key)
            return None
        return Recalled(kind, record["answer_id"], record["text"], record["path"], citations)

    def _sources(self, citations: Sequence[Citation], principal: Principal) -> dict[str, str] | None:
        """Return the content hash of each cited document; `None` where a citation can no longer be shown as it was."""
        chunk_ids = list(dict.fromkeys(citation.chunk_id for citation in citations))
        today = self._clock.now().date()
        hits = self._ledger.hits(chunk_ids, self._policy.scope(principal), as_of=today)
        for citation in citations:
            chunk = hits[citation.chunk_id].chunk if citation.chunk_id in hits else None
            if chunk is None or chunk.text[citation.start - chunk.start : citation.end - chunk.start] != citation.quote:
                return None
        ids = dict.fromkeys(hit.chunk.document_id for hit in hits.values())
        documents = {key: self._ledger.find(key) for key in ids}
        return {key: document.content_hash if document else "" for key, document in documents.items()}

    def _partition(self, compose: str, principal: Principal) -> str:
        # all that two callers must share to get one answer; the cache itself separates tenants
        today = self._clock.now().date().isoformat()
        shared = [sorted(principal.groups), sorted(principal.roles), compose, today, self._writer, chosen_model.get()]
        return f"{_PREFIX}{hashlib.blake2b(json.dumps(shared).encode(), digest_size=16).hexdigest()}"


@dataclass(frozen=True)
class _Asked:
    question: str
    vector: Vectors


def normal(question: str) -> str:
    """Return `question` with one spelling of spaces, case and final punctuation."""
    return " ".join(question.split()).rstrip("?!. ").casefold()


def same_details(question: str, other: str) -> bool:
    """Whether both have the same significant words in the same order: every entity, number, qualifier and negation.

    In any language, a word that only one has makes it another question ("express delivery", "without a receipt", "to"
    instead of "from"). A miss costs a new answer; a false hit gives a wrong answer.

    >>> same_details("What does delivery cost?", "What does express delivery cost?")
    False
    >>> same_details("Is the QP-5 waterproof?", "Tell me: is the qp-5 waterproof?")
    True
    """
    words = telling_words(question)
    return bool(words) and words == telling_words(other)


def telling_words(question: str) -> list[str]:
    """Return the significant words of a question in order, without polite phrases at its ends.

    >>> telling_words("Please tell me: what's the price of three QP-5, in €? Thanks.")
    ['what', 'price', 'three', 'qp-5', 'in', '€']
    >>> telling_words("Ist der Versand an Kunden frei?")
    ['ist', 'der', 'versand', 'an', 'kunden', 'frei']
    """
    spelled = unicodedata.normalize("NFC", question).replace("’", "'").split()
    words = [word for word in (_plain(part, first=not place) for place, part in enumerate(spelled)) if word]
    # with a capital within the sentence: "Rules" may be somebody's name, and is not "rule"
    names = {word.strip(_EDGES).casefold() for word in spelled[1:] if word[:1].isupper()}
    words = _without_courtesies(words)
    if not _ENGLISH & {word.removesuffix("'s") for word in words}:
        return words
    words = [word.removesuffix("'s") for word in words]
    words = ["what" if word == "which" else word if word in names else _ENDING.sub("", word) for word in words]
    return [word for word in words if word not in _NEUTRAL]


def _plain(part: str, *, first: bool) -> str:
    word = part.strip(_EDGES)
    folded = word.casefold()
    # a name that would become a function word keeps its capitals: "US", "IT", "May"
    named = not first and word[:1].isupper() and folded in FUNCTION_WORDS and folded not in ("i", "a")
    return word if named else folded


def _without_courtesies(words: list[str]) -> list[str]:
    for phrase in _COURTESIES:
        size = len(phrase)
        if size < len(words) and tuple(words[:size]) == phrase:
            return _without_courtesies(words[size:])
        if size < len(words) and tuple(words[-size:]) == phrase:
            return _without_courtesies(words[:-size])
    return words


def _nearest(questions: Sequence[_Asked], vector: Vectors, least: float) -> list[_Asked]:
    if not questions:
        return []
    cosines = np.stack([entry.vector for entry in questions]) @ vector
    return [questions[place] for place in np.argsort(-cosines, kind="stable") if cosines[place] >= least]


def _key(partition: str, question: str) -> str:
    return f"{partition} {hashlib.blake2b(normal(question).encode(errors='surrogatepass'), digest_size=16).hexdigest()}"


def _pack(questions: Sequence[_Asked]) -> bytes:
    # half precision: the shared cache keeps these for every set of roles and groups
    vectors = np.stack([entry.vector for entry in questions]).astype("<f2")
    texts = [entry.question for entry in questions]
    return json.dumps({"questions": texts, "vectors": base64.b64encode(vectors.tobytes()).decode()}).encode()


def _unpack(packed: bytes | None) -> list[_Asked]:
    if packed is None:
        return []
    record = json.loads(packed)
    flat = np.frombuffer(base64.b64decode(record["vectors"]), dtype="<f2").astype(np.float32)
    return list(map(_Asked, record["questions"], flat.reshape(len(record["questions"]), -1)))
