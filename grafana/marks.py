"""Vertical marks on every panel at the instants of the storm, asked of Prometheus alone."""

from dataclasses import dataclass

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from grafana import palette
from grafana.panels import DATASOURCE


@dataclass(frozen=True, slots=True)
class Mark(Builder[model.AnnotationQuery]):
    """A mark at each value of ``metric``, Unix seconds; ``title`` may name labels as ``{{label}}``."""

    name: str
    metric: str
    title: str
    colour: str

    @property
    def expr(self) -> str:
        """The instants in ms, 0 (not yet) left out."""
        return f'{self.metric}{{job="orchestrator"}} * 1000 > 0'

    def build(self) -> model.AnnotationQuery:
        """The annotation query of a Prometheus data source."""
        return _PrometheusAnnotation(self)


class _PrometheusAnnotation(model.AnnotationQuery):
    """The SDK's annotation knows Grafana's own store only; this adds what the Prometheus data source reads."""

    def __init__(self, mark: Mark) -> None:
        super().__init__(name=mark.name, datasource=DATASOURCE, icon_color=mark.colour)
        self._mark = mark

    def to_json(self) -> dict[str, object]:
        payload = super().to_json()
        payload.pop("builtIn")
        # Releases differ in which they read, `target` or `expr` and `step`.
        payload["target"] = {"expr": self._mark.expr, "interval": "1s", "refId": "Anno", "range": True}
        payload |= {"expr": self._mark.expr, "step": "1s"}
        # The value says when, to the millisecond; the scrape would be up to a second late.
        payload |= {"useValueForTime": True, "titleFormat": self._mark.title, "textFormat": self._mark.title}
        return payload


MARKS = (
    Mark("t = 0", "failstorm_t0_timestamp_seconds", "t = 0", palette.BLUE),
    Mark("kill", "failstorm_kill_timestamp_seconds", "kill {{victim}}", palette.VERMILION),
    Mark("recovery", "failstorm_recovery_timestamp_seconds", "recovery: first acknowledged repair", palette.PURPLE),
    Mark("steady state", "failstorm_steady_timestamp_seconds", "steady state", palette.GREEN),
)
