"""Asks a document's questions in one process, with some of its fragments out of reach."""

import asyncio
from collections.abc import Collection

from agent.fragments import Fragment, FragmentUnavailableError
from agent.tools import run_pipeline
from agent.tools.contract import Lookup
from orchestrator.workload.document import GaiaDocument, GaiaQuestion
from orchestrator.workload.grade import is_correct


def lookup_in(document: GaiaDocument, lost: Collection[str] = (), *, raises: bool = True) -> Lookup:
    """Return a lookup over the document in which the fragments with the titles ``lost`` are out of reach."""
    by_title = {fragment.title: fragment for fragment in document.fragments}

    async def lookup(title: str) -> Fragment | None:
        if title not in lost:
            return by_title.get(title)
        if raises:
            raise FragmentUnavailableError(title, 0)
        return None

    return lookup


def failed(document: GaiaDocument, lookup: Lookup) -> list[GaiaQuestion]:
    """Return the questions that are not answered correctly; out of reach is not answered."""

    async def is_answered(question: GaiaQuestion) -> bool:
        try:
            answer = (await run_pipeline(question.question, lookup))["answer"]
        except FragmentUnavailableError:
            return False
        assert answer is None or isinstance(answer, str)
        return is_correct(answer, question.answer)

    async def ask_all() -> list[GaiaQuestion]:
        return [question for question in document.questions if not await is_answered(question)]

    return asyncio.run(ask_all())
