"""How strong a fault is: the numbers that a scenario may give it."""

from pydantic import BaseModel, ConfigDict, Field


class Parameters(BaseModel):
    """Every parameter of every fault; a fault names those that it takes, and refuses the others."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    latency_ms: float | None = Field(None, gt=0, le=60_000, description="milliseconds above 0, up to 60000")
    jitter_ms: float | None = Field(None, ge=0, le=60_000, description="milliseconds from 0 to 60000")
    loss: float | None = Field(None, gt=0, le=0.9, description="a share above 0, up to 0.9")
    kbit_per_s: float | None = Field(None, ge=1, le=1_000_000, description="kilobits per second, from 1 to 1000000")
    corrupt: float | None = Field(None, gt=0, le=1, description="a share above 0, up to 1")
    cpus: float | None = Field(None, ge=0.01, le=64, description="a number of CPUs from 0.01 to 64")

    spare_mib: float | None = Field(None, ge=0, le=512, description="mebibytes beyond what it uses, from 0 to 512")

    @property
    def given(self) -> dict[str, float]:
        """Those that are set, by name."""
        return self.model_dump(exclude_none=True)


NONE = Parameters()
"""For faults that take none."""
