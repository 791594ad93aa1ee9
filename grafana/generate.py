"""Writes the dashboards as the JSON that Grafana loads: ``python -m grafana.generate``, part of ``make docs``."""

import json

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana import compared, live
from grafana.queries import FOLDER


def texts() -> dict[str, str]:
    """File name → what it holds."""
    return {"live.json": _text(live.build()), "compared.json": _text(compared.build())}


def _text(board: Dashboard) -> str:
    built = board.build()
    for number, panel in enumerate(built.panels or (), start=1):
        panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
