"""The rules: deterministic, and nothing to download."""

from agent.models.contract import Conclusion
from agent.tools.reason import ReasonInput, conclude


class LocalModel:
    """Chains and weighs facts by rules (``agent.tools.reason``)."""

    async def conclude(self, task: str, request: ReasonInput) -> Conclusion:  # noqa: ARG002 - the rules know no tasks
        """Answer at once; never fails."""
        found = conclude(request)
        return Conclusion(found.answer, found.chain)

    async def close(self) -> None:
        """Nothing to free."""
