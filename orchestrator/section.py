"""What all sections of the configuration have in common."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

Auto = Literal["auto"]


class Section(BaseModel):
    """Base of all parts: frozen, nothing unknown, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


def http_address(text: str, wanted: str) -> str:
    """An address that can be shown anywhere, since it stands in the results; ``wanted`` is said of any other text."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise PydanticCustomError("url", "{wanted}", {"wanted": wanted})
    return text.rstrip("/")
